#include "binding/dataplane_object.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

namespace sluice::binding {
namespace {

// An ArrayBuffer over memory of ours, which lives until the buffer is collected.
Napi::Value external(Napi::Env env, const SharedRegion& region, size_t bytes) {
  auto* owner = new SharedRegion(region);
  return Napi::ArrayBuffer::New(
      env, region->as<void>(), bytes, [](Napi::Env, void*, SharedRegion* owned) { delete owned; }, owner);
}

// Seconds and nanoseconds as JavaScript gives them; what lies beyond the clock is its end.
Nanoseconds time_of(const Napi::Value& seconds, const Napi::Value& nanoseconds) {
  const double given = seconds.IsNumber() ? seconds.As<Napi::Number>().DoubleValue() : 0;
  if (!(given > 0)) return nanoseconds.IsNumber() ? u32(nanoseconds, "nanoseconds", 999'999'999) : 0;
  if (given > UINT32_MAX) return UINT64_MAX;
  return make_time(static_cast<uint32_t>(given), u32(nanoseconds, "nanoseconds", 999'999'999));
}

// The dataplanes of all threads, by id. Whoever attaches finds one that has not been closed.
std::mutex known_lock;
std::unordered_map<uint32_t, std::weak_ptr<Dataplane>> known;
uint32_t last_id = 0;

uint32_t make_known(const std::shared_ptr<Dataplane>& dataplane) {
  const std::lock_guard guard(known_lock);
  known[++last_id] = dataplane;
  return last_id;
}

void forget_known(uint32_t id) {
  const std::lock_guard guard(known_lock);
  known.erase(id);
}

std::shared_ptr<Dataplane> find_known(uint32_t id) {
  const std::lock_guard guard(known_lock);
  const auto found = known.find(id);
  std::shared_ptr<Dataplane> dataplane = found == known.end() ? nullptr : found->second.lock();
  if (dataplane == nullptr || dataplane->closed())
    throw NativeFault("STATE", "there is no dataplane " + std::to_string(id) + " to be a shard of");
  return dataplane;
}

}  // namespace

Napi::Function DataplaneObject::define(Napi::Env env) {
  return DefineClass(env, "Dataplane",
                     {
                         InstanceMethod<&DataplaneObject::register_template>("registerTemplate"),
                         InstanceMethod<&DataplaneObject::install_static>("installStatic"),
                         InstanceMethod<&DataplaneObject::table_memory>("tableMemory"),
                         InstanceMethod<&DataplaneObject::probe_template>("probeTemplate"),
                         InstanceMethod<&DataplaneObject::steer_by>("steerBy"),
                         InstanceMethod<&DataplaneObject::poll>("poll"),
                         InstanceMethod<&DataplaneObject::start>("start"),
                         InstanceMethod<&DataplaneObject::stop>("stop"),
                         InstanceMethod<&DataplaneObject::arm_doorbell>("armDoorbell"),
                         InstanceMethod<&DataplaneObject::await_events>("awaitEvents"),
                         InstanceMethod<&DataplaneObject::replay_open>("replayOpen"),
                         InstanceMethod<&DataplaneObject::replay_run>("replayRun"),
                         InstanceMethod<&DataplaneObject::replay_next_time>("replayNextTime"),
                         InstanceMethod<&DataplaneObject::replay_close>("replayClose"),
                         InstanceMethod<&DataplaneObject::set_clock>("setClock"),
                         InstanceMethod<&DataplaneObject::clock>("clock"),
                         InstanceMethod<&DataplaneObject::statistics>("statistics"),
                         InstanceMethod<&DataplaneObject::tap>("tap"),
                         InstanceMethod<&DataplaneObject::tapped>("tapped"),
                         InstanceMethod<&DataplaneObject::installed_rules>("installedRules"),
                         InstanceMethod<&DataplaneObject::own_rules>("ownRules"),
                         InstanceMethod<&DataplaneObject::repair_rules>("repairRules"),
                         InstanceMethod<&DataplaneObject::recovered_ports>("recoveredPorts"),
                         InstanceMethod<&DataplaneObject::ports_to_reset>("portsToReset"),
                         InstanceMethod<&DataplaneObject::close_port>("closePort"),
                         InstanceMethod<&DataplaneObject::reopen_port>("reopenPort"),
                         InstanceMethod<&DataplaneObject::close>("close"),
                         InstanceMethod<&DataplaneObject::limit>("limit"),
                         InstanceMethod<&DataplaneObject::obey>("obey"),
                         InstanceMethod<&DataplaneObject::announce>("announce"),
                         InstanceMethod<&DataplaneObject::inject>("inject"),
                         InstanceMethod<&DataplaneObject::caught>("caught"),
                         InstanceMethod<&DataplaneObject::liveness>("liveness"),
                     });
}

DataplaneObject::DataplaneObject(const Napi::CallbackInfo& info) : ObjectWrap(info), env_(info.Env()) {
  guarded(info.Env(), [&] {
    const Napi::Object given = object(info[0], "options");
    if (given.Has("shardOf")) {
      attach(given);
    } else {
      dataplane_ = std::make_shared<Dataplane>(dataplane_options(given));
      id_ = make_known(dataplane_);
      owns_ = true;
    }
    publish_memory(info.Env(), info.This().As<Napi::Object>());
  });
  hook();
}

void DataplaneObject::attach(const Napi::Object& attachment) {
  id_ = u32(attachment.Get("shardOf"), "shardOf");
  dataplane_ = find_known(id_);
  shard_ = static_cast<uint16_t>(u32(attachment.Get("shard"), "shard", dataplane_->shards() - 1u));
}

void DataplaneObject::publish_memory(Napi::Env env, Napi::Object self) {
  const SlowPath& path = lane().path();
  const auto publish = [&](const char* name, const SharedRegion& region) {
    const Napi::Value value =
        region == nullptr ? Napi::ArrayBuffer::New(env, 0) : external(env, region, region->bytes());
    self.DefineProperty(Napi::PropertyDescriptor::Value(name, value, napi_enumerable));
  };
  publish("rows", path.sessions().rows_memory());
  publish("counters", path.sessions().counters_memory());
  publish("events", path.events_memory());
  publish("vnis", path.vnis_memory());
  publish("decisions", path.decisions_memory());
  publish("blocks", dataplane_->blocks_memory());
  publish("remotes", dataplane_->remotes_memory());
  self.DefineProperty(Napi::PropertyDescriptor::Value("id", Napi::Number::New(env, id_), napi_enumerable));
}

DataplaneObject::~DataplaneObject() { shut(false); }

// process.exit and a worker's end must find no lcore at work on memory that goes. Hooks run last in, first
// out.
void DataplaneObject::hook() {
  if (hooked_) napi_remove_env_cleanup_hook(env_, on_environment_end, this);
  napi_add_env_cleanup_hook(env_, on_environment_end, this);
  hooked_ = true;
}

void DataplaneObject::on_environment_end(void* self) {
  auto* object = static_cast<DataplaneObject*>(self);
  object->hooked_ = false;
  object->shut(false);
}

// The doorbell goes after the lcore that rings it. At the environment's end it is the environment that
// releases it.
void DataplaneObject::shut(bool tell_loop) {
  if (hooked_) napi_remove_env_cleanup_hook(env_, on_environment_end, this);
  hooked_ = false;
  if (dataplane_ && owns_) {
    forget_known(id_);
    dataplane_->close();
  }
  if (dataplane_ && starts_ && !dataplane_->closed()) lane().stop();
  starts_ = false;
  if (tell_loop) release_doorbell();
  has_doorbell_ = false;
}

void DataplaneObject::release_doorbell() {
  if (!has_doorbell_) return;
  has_doorbell_ = false;
  doorbell_.Release();
  Unref();
}

uint8_t DataplaneObject::port_index(const Napi::Value& value) {
  const auto last = static_cast<uint32_t>(dataplane_->slow_path().ports().size() - 1);
  return static_cast<uint8_t>(u32(value, "port", last));
}

Napi::Value DataplaneObject::register_template(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::string where = text(info[0], "where");
    if (where != "software" && where != "nic")
      throw NativeFault("ARGUMENT", "where is neither software nor nic");
    const uint32_t id =
        dataplane_->register_template(shard_, where == "nic", port_index(info[1]), template_source(info[2]));
    return Napi::Number::New(info.Env(), id);
  });
}

Napi::Value DataplaneObject::install_static(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    dataplane_->install_static(port_index(info[0]), template_source(info[1]));
    return info.Env().Undefined();
  });
}

Napi::Value DataplaneObject::table_memory(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    constexpr double kMostBytes = 1ull << 40;
    const auto bytes = static_cast<size_t>(number(info[0], "bytes", 1, kMostBytes));
    const auto region = std::make_shared<MemoryRegion>(bytes);
    populate_soon(region->as<void>(), bytes);
    return external(info.Env(), region, bytes);
  });
}

Napi::Value DataplaneObject::probe_template(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const ProbeResult result = dataplane_->probe_template(port_index(info[0]), template_source(info[1]));
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("queued", result.queued);
    object.Set("counted", result.counted);
    object.Set("aged", result.aged);
    object.Set("destroyed", result.destroyed);
    return object;
  });
}

Napi::Value DataplaneObject::steer_by(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    dataplane_->steer_by(steering_source(info[0]));
    return info.Env().Undefined();
  });
}

Napi::Value DataplaneObject::poll(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), dataplane_->poll(shard_, u32(info[0], "burst")));
  });
}

Napi::Value DataplaneObject::start(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const uint32_t burst = u32(info[0], "burst");
    const bool precedence = info[2].ToBoolean();
    if (!info[1].IsFunction()) throw NativeFault("ARGUMENT", "doorbell is not a function");
    if (has_doorbell_) throw NativeFault("STATE", "started already");
    doorbell_ =
        Napi::ThreadSafeFunction::New(info.Env(), info[1].As<Napi::Function>(), "sluice doorbell", 0, 1);
    has_doorbell_ = true;
    hook();  // again, so that the lcore stops before the environment takes the doorbell away
    bool has_precedence = false;
    try {
      has_precedence = lane().start(burst, precedence, [this] { doorbell_.NonBlockingCall(); });
      starts_ = true;
    } catch (...) {
      doorbell_.Release();
      has_doorbell_ = false;
      throw;
    }
    Ref();  // not to be collected while an lcore runs in it
    return Napi::Boolean::New(info.Env(), has_precedence);
  });
}

Napi::Value DataplaneObject::stop(const Napi::CallbackInfo& info) {
  if (starts_ && !dataplane_->closed()) lane().stop();
  starts_ = false;
  release_doorbell();
  return info.Env().Undefined();
}

Napi::Value DataplaneObject::arm_doorbell(const Napi::CallbackInfo& info) {
  return guarded(info.Env(),
                 [&]() -> Napi::Value { return Napi::Boolean::New(info.Env(), lane().arm_doorbell()); });
}

Napi::Value DataplaneObject::await_events(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Boolean::New(info.Env(), lane().await_events(u32(info[0], "microseconds")));
  });
}

Napi::Value DataplaneObject::replay_open(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    dataplane_->replay_open(captures(info[0], "inputs"), captures(info[1], "outputs"));
    return info.Env().Undefined();
  });
}

Napi::Value DataplaneObject::replay_run(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const ReplayStatus status = dataplane_->replay().run(u32(info[0], "burst"), time_of(info[1], info[2]));
    return Napi::Number::New(info.Env(), static_cast<uint8_t>(status));
  });
}

Napi::Value DataplaneObject::replay_next_time(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Nanoseconds time = 0;
    if (!dataplane_->replay().next_time(&time)) return info.Env().Null();
    return time_value(info.Env(), time);
  });
}

Napi::Value DataplaneObject::replay_close(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::vector<std::string> damaged = dataplane_->replay_close();
    Napi::Array list = Napi::Array::New(info.Env(), damaged.size());
    for (uint32_t i = 0; i < damaged.size(); i++) list.Set(i, damaged[i]);
    return list;
  });
}

Napi::Value DataplaneObject::set_clock(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    dataplane_->set_clock(time_of(info[0], info[1]));
    return info.Env().Undefined();
  });
}

Napi::Value DataplaneObject::clock(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value { return time_value(info.Env(), dataplane_->clock()); });
}

Napi::Value DataplaneObject::statistics(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Env env = info.Env();
    const Statistics statistics = dataplane_->statistics(shard_);
    const auto count = [&](uint64_t value) { return Napi::Number::New(env, static_cast<double>(value)); };
    Napi::Array ports = Napi::Array::New(env, statistics.ports.size());
    for (uint32_t i = 0; i < statistics.ports.size(); i++) {
      Napi::Object port = Napi::Object::New(env);
      port.Set("received", count(statistics.ports[i].received));
      port.Set("transmitted", count(statistics.ports[i].transmitted));
      ports.Set(i, port);
    }
    Napi::Object slow_path = Napi::Object::New(env);
    slow_path.Set("packets", count(statistics.slow_path_packets));
    slow_path.Set("misses", count(statistics.misses));
    slow_path.Set("bytes", count(statistics.slow_path_bytes));
    slow_path.Set("handedOver", count(statistics.handed_over));
    Napi::Object nic = Napi::Object::New(env);
    nic.Set("packets", count(statistics.nic_packets));
    nic.Set("bytes", count(statistics.nic_bytes));
    nic.Set("inserts", count(statistics.nic_inserts));
    Napi::Array buckets = Napi::Array::New(env, LatencyBuckets::kCount);
    for (uint32_t i = 0; i < LatencyBuckets::kCount; i++) buckets.Set(i, count(statistics.first_packets.packets[i]));
    Napi::Object first_packets = Napi::Object::New(env);
    first_packets.Set("buckets", buckets);
    first_packets.Set("nanoseconds", count(statistics.first_packets.nanoseconds));
    Napi::Array drops = Napi::Array::New(env, kDropReasonCount);
    for (uint32_t i = 0; i < kDropReasonCount; i++) drops.Set(i, count(statistics.drops[i]));
    Napi::Object out = Napi::Object::New(env);
    out.Set("ports", ports);
    out.Set("slowPath", slow_path);
    out.Set("nic", nic);
    out.Set("firstPackets", first_packets);
    out.Set("drops", drops);
    out.Set("held", count(statistics.held));
    out.Set("nicRules", count(statistics.nic_rules));
    out.Set("softwareRules", count(statistics.software_rules));
    Napi::Object precedence = Napi::Object::New(env);
    precedence.Set("engine", count(statistics.engine_turns));
    precedence.Set("lcore", count(statistics.lcore_turns));
    out.Set("precedence", precedence);
    out.Set("softwareTableBytes", count(statistics.software_table_bytes));
    return out;
  });
}

Napi::Value DataplaneObject::close(const Napi::CallbackInfo& info) {
  shut(true);
  return info.Env().Undefined();
}

}  // namespace sluice::binding
