// The benches' own addon (bench/native.ts): made-up traffic, loops without a gateway, rule insertion. Loading it also
// registers the drivers net_traffic and net_donothing, so EAL needs no -d for them.
#include <dlfcn.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <cstring>

#include "bench/node/insertion.h"
#include "bench/node/instruction_count.h"
#include "bench/node/machine_bounds.h"
#include "bench/node/paced_wakeups.h"
#include "bench/node/resident_rules.h"
#include "bench/node/wakeups.h"
#include "bench/node/wire_loop.h"
#include "bench/scenario.h"
#include "binding/arguments.h"
#include "slow_path/sessions.h"

namespace sluice::bench {
namespace {

using binding::guarded;
using binding::number;
using binding::object;
using binding::text;
using binding::texts;
using binding::u32;

constexpr double kMaxMac = 281474976710655.0;   // 2^48 − 1
constexpr double kMaxExact = 9007199254740991.0;  // 2^53 − 1

uint32_t field(const Napi::Object& from, const char* name) { return u32(from.Get(name), name); }

void mac_field(const Napi::Object& from, const char* name, uint8_t* out) {
  auto mac = static_cast<uint64_t>(number(from.Get(name), name, 0, kMaxMac));
  for (int i = 5; i >= 0; i--, mac >>= 8) out[i] = static_cast<uint8_t>(mac);
}

Napi::Value count_value(Napi::Env env, uint64_t value) { return Napi::Number::New(env, static_cast<double>(value)); }

double micros(uint64_t ticks) { return static_cast<double>(ticks) * 1e6 / static_cast<double>(rte_get_tsc_hz()); }

Side side_of(const Napi::Value& value) {
  const std::string side = text(value, "side");
  if (side != "fabric" && side != "external") throw NativeFault("ARGUMENT", "side is neither fabric nor external");
  return side == "fabric" ? Side::kFabric : Side::kExternal;
}

Napi::Value set_scenario_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object from = object(info[0], "scenario");
    Scenario s;
    s.flows = field(from, "flows");
    s.hosts = std::max(1u, field(from, "hosts"));
    s.private_base = field(from, "privateBase");
    s.first_source_port = static_cast<uint16_t>(field(from, "firstSourcePort"));
    s.remote_base = field(from, "remoteBase");
    s.remotes = std::max(1u, field(from, "remotes"));
    s.remote_port = static_cast<uint16_t>(field(from, "remotePort"));
    s.pool_first = field(from, "poolFirst");
    s.pool_last = field(from, "poolLast");
    s.vni = field(from, "vni");
    s.vxlan_port = static_cast<uint16_t>(field(from, "vxlanPort"));
    s.gateway_vtep = field(from, "gatewayVtep");
    s.host_vtep = field(from, "hostVtep");
    mac_field(from, "gatewayMac", s.gateway_mac);
    mac_field(from, "hostVtepMac", s.host_vtep_mac);
    mac_field(from, "hostMac", s.host_mac);
    mac_field(from, "externalMac", s.external_mac);
    mac_field(from, "nextHopMac", s.next_hop_mac);
    s.check_every = std::max(1u, field(from, "checkEvery"));
    s.untranslated = from.Get("untranslated").ToBoolean();
    if (s.pool_last < s.pool_first) throw NativeFault("ARGUMENT", "poolLast lies before poolFirst");
    set_scenario(s);
    return info.Env().Undefined();
  });
}

Napi::Value run_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Side side = side_of(info[0]);
    const Napi::Object from = object(info[1], "program");
    const std::string pattern = text(from.Get("pattern"), "pattern");
    Program program;
    program.pattern = pattern == "new"      ? Pattern::kNew
                      : pattern == "random" ? Pattern::kRandom
                      : pattern == "zipf"   ? Pattern::kZipf
                                            : Pattern::kNone;
    program.first = field(from, "first");
    program.count = field(from, "count");
    program.window = field(from, "window");
    program.per_second = number(from.Get("perSecond"), "perSecond", 0, 1e9);
    program.seed = field(from, "seed");
    program.measure_latency = from.Get("measureLatency").ToBoolean();
    const uint64_t end = uint64_t{program.first} + program.count;
    if (program.pattern != Pattern::kNone && (program.count == 0 || end > traffic().scenario.flows)) {
      throw NativeFault("ARGUMENT", "the program names flows beyond the scenario's");
    }
    if (program.pattern == Pattern::kZipf) {
      const double exponent = number(from.Get("exponent"), "exponent", 0, 10);
      program.zipf = std::make_shared<Zipf>(program.count, exponent, program.seed);
    }
    run_program(side, program);
    return info.Env().Undefined();
  });
}

Napi::Value reset_call(const Napi::CallbackInfo& info) {
  reset_counters();
  return info.Env().Undefined();
}

Napi::Value counters_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object out = Napi::Object::New(env);
  for (const Side side : {Side::kFabric, Side::kExternal}) {
    uint64_t emitted = 0, accepted = 0, bad = 0, bad_checksum = 0, no_buffer = 0, empty_polls = 0, most_late = 0;
    uint64_t first_emit = 0, last_accept = 0;
    for (const WireCounters& queue : traffic().counters[static_cast<size_t>(side)]) {
      emitted += queue.emitted;
      accepted += queue.accepted;
      bad += queue.bad;
      bad_checksum += queue.bad_checksum;
      no_buffer += queue.no_buffer;
      empty_polls += queue.empty_polls;
      most_late = std::max<uint64_t>(most_late, queue.most_late);
      const uint64_t first = queue.first_emit_tsc;
      if (first != 0 && (first_emit == 0 || first < first_emit)) first_emit = first;
      last_accept = std::max<uint64_t>(last_accept, queue.last_accept_tsc);
    }
    Napi::Object wire = Napi::Object::New(env);
    wire.Set("emitted", count_value(env, emitted));
    wire.Set("accepted", count_value(env, accepted));
    wire.Set("bad", count_value(env, bad));
    wire.Set("badChecksum", count_value(env, bad_checksum));
    wire.Set("noBuffer", count_value(env, no_buffer));
    wire.Set("emptyPolls", count_value(env, empty_polls));
    wire.Set("mostLate", count_value(env, most_late));
    wire.Set("firstEmitMicros", Napi::Number::New(env, micros(first_emit)));
    wire.Set("lastAcceptMicros", Napi::Number::New(env, micros(last_accept)));
    out.Set(side == Side::kFabric ? "fabric" : "external", wire);
  }
  return out;
}

Napi::Value keep_ledger_call(const Napi::CallbackInfo& info) {
  keep_ledger();
  return info.Env().Undefined();
}

// Six numbers a flow: emitted on the fabric and the external side, accepted there, disordered there.
Napi::Value ledger_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Traffic& t = traffic();
    if (t.ledger == nullptr) throw NativeFault("STATE", "no ledger is kept");
    constexpr size_t kNumbers = 6;
    auto out = Napi::Uint32Array::New(info.Env(), kNumbers * t.scenario.flows);
    for (uint32_t i = 0; i < t.scenario.flows; i++) {
      const FlowLedger& flow = t.ledger[i];
      std::memcpy(out.Data() + kNumbers * i, flow.emitted, sizeof flow.emitted);
      std::memcpy(out.Data() + kNumbers * i + 2, flow.accepted, sizeof flow.accepted);
      std::memcpy(out.Data() + kNumbers * i + 4, flow.disordered, sizeof flow.disordered);
    }
    return out;
  });
}

Napi::Value forget_endpoints_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const uint32_t first = u32(info[0], "first"), count = u32(info[1], "count");
    if (uint64_t{first} + count > traffic().scenario.flows) throw NativeFault("ARGUMENT", "there are fewer flows");
    forget_endpoints(first, count);
    return info.Env().Undefined();
  });
}

// Lives as long as the process: an lcore may still be in it.
Wakeups& wakeups() {
  static auto* one = new Wakeups;
  return *one;
}

// As the gateway's.
Napi::ThreadSafeFunction& doorbell() {
  static Napi::ThreadSafeFunction one;
  return one;
}

// Lives as long as the process: an lcore may still be in it.
PacedWakeups& paced_wakeups() {
  static auto* one = new PacedWakeups;
  return *one;
}

const Latency* latency_named(const std::string& from) {
  if (from == "wire") return &traffic().from_wire;
  if (from == "receive") return &traffic().from_receive;
  if (from == "wakeup") return &wakeups().latency();
  if (from == "paced-wakeup") return &paced_wakeups().from_made();
  if (from == "paced-wakeup-due") return &paced_wakeups().from_due();
  throw NativeFault("ARGUMENT", "from is unknown");
}

// [microseconds, durations that are not longer and longer than those of the pair before, …]
Napi::Value histogram_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Latency& latency = *latency_named(text(info[0], "from"));
    Napi::Array out = Napi::Array::New(info.Env());
    uint32_t at = 0;
    latency.for_each([&](uint64_t ticks, uint64_t count) {
      out.Set(at++, Napi::Number::New(info.Env(), micros(ticks)));
      out.Set(at++, count_value(info.Env(), count));
    });
    return out;
  });
}

Napi::Value start_wakeups_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!info[2].IsFunction()) throw NativeFault("ARGUMENT", "doorbell is not a function");
    const auto count = static_cast<uint64_t>(number(info[0], "count", 1, kMaxExact));
    const double per_second = number(info[1], "perSecond", 1, 1e9);
    doorbell() = Napi::ThreadSafeFunction::New(info.Env(), info[2].As<Napi::Function>(), "bench doorbell", 0, 1);
    wakeups().start(count, per_second, [] { doorbell().NonBlockingCall(); });
    return info.Env().Undefined();
  });
}

Napi::Value answer_wakeup_call(const Napi::CallbackInfo& info) {
  wakeups().answer();
  return info.Env().Undefined();
}

Napi::Value wakeups_done_call(const Napi::CallbackInfo& info) {
  const bool done = wakeups().done();
  if (done) doorbell().Release();
  return Napi::Boolean::New(info.Env(), done);
}

Napi::Value ring_buffer(Napi::Env env, const SharedRegion& region, size_t bytes) {
  auto* owner = new SharedRegion(region);
  return Napi::ArrayBuffer::New(
      env, region->as<void>(), bytes, [](Napi::Env, void*, SharedRegion* owned) { delete owned; }, owner);
}

// Once: there is one buffer over a ring.
Napi::Value paced_rings_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const PacedWakeups& one = paced_wakeups();
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("events", ring_buffer(info.Env(), one.events_memory(),
                                  ring_bytes(PacedWakeups::kEventSlots, kEventSlotBytes)));
    out.Set("decisions", ring_buffer(info.Env(), one.decisions_memory(),
                                     ring_bytes(PacedWakeups::kDecisionSlots, kRingSlotBytes)));
    return out;
  });
}

Napi::Value start_paced_wakeups_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!info[2].IsFunction()) throw NativeFault("ARGUMENT", "doorbell is not a function");
    const auto count = static_cast<uint64_t>(number(info[0], "count", 1, kMaxExact));
    const double per_second = number(info[1], "perSecond", 1, 1e9);
    doorbell() = Napi::ThreadSafeFunction::New(info.Env(), info[2].As<Napi::Function>(), "bench doorbell", 0, 1);
    paced_wakeups().start(count, per_second, [] { doorbell().NonBlockingCall(); });
    return info.Env().Undefined();
  });
}

Napi::Value arm_paced_wakeups_call(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), paced_wakeups().arm());
}

Napi::Value await_paced_wakeups_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Boolean::New(info.Env(), paced_wakeups().await(u32(info[0], "microseconds")));
  });
}

// Null while they go on; then how many were lost.
Napi::Value paced_wakeups_lost_call(const Napi::CallbackInfo& info) {
  if (!paced_wakeups().done()) return info.Env().Null();
  doorbell().Release();
  return count_value(info.Env(), paced_wakeups().lost());
}

Napi::Value random_touches_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto bytes = static_cast<uint64_t>(number(info[0], "bytes", 4096, kMaxExact));
    return Napi::Number::New(info.Env(),
                             random_touches(bytes, number(info[1], "seconds", 0, 3600), info[2].ToBoolean()));
  });
}

Napi::Value ring_hand_over_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const HandOver result = ring_hand_over(number(info[0], "seconds", 0, 3600));
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("recordsPerSecond", Napi::Number::New(info.Env(), result.records_per_second));
    out.Set("roundTripNanos", Napi::Number::New(info.Env(), result.round_trip_nanos));
    return out;
  });
}

Napi::Value endpoints_call(const Napi::CallbackInfo& info) {
  uint64_t known = 0, shared = 0;
  count_endpoints(&known, &shared);
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("known", count_value(info.Env(), known));
  out.Set("shared", count_value(info.Env(), shared));
  return out;
}

// Open until the process ends.
BenchPorts& open_ports(const Napi::Value& devices, bool start) {
  return *new BenchPorts(texts(devices, "devices"), start);
}

Napi::Value wire_loop_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object from = object(info[0], "options");
    static const BenchPorts& ports = open_ports(from.Get("devices"), true);
    if (ports.ids().size() != 2 && ports.ids().size() != 4) {
      throw NativeFault("ARGUMENT", "the loop needs two devices, or four");
    }
    // Nobody translates between two of ours.
    if (ports.ids().size() == 2) pretend_endpoints();
    const LoopResult result =
        run_wire_loop(ports, number(from.Get("seconds"), "seconds", 0, 3600), field(from, "burst"), field(from, "lines"),
                      static_cast<uint64_t>(number(from.Get("footprintBytes"), "footprintBytes", 64, kMaxExact)));
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("packets", count_value(info.Env(), result.packets));
    out.Set("seconds", Napi::Number::New(info.Env(), result.seconds));
    return out;
  });
}

// Opened once a process.
const BenchPorts& resident_ports(const Napi::Object& from) {
  static const BenchPorts& ports = open_ports(from.Get("devices"), true);
  if (ports.ids().size() != 2) throw NativeFault("ARGUMENT", "two devices are needed");
  return ports;
}

Napi::Value install_resident_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object from = object(info[0], "options");
    const BenchPorts& ports = resident_ports(from);
    install_resident_rules(ports.ids()[0], ports.ids()[1], field(from, "count"));
    return info.Env().Undefined();
  });
}

Napi::Value run_resident_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object from = object(info[0], "options");
    const BenchPorts& ports = resident_ports(from);
    const double seconds = number(from.Get("seconds"), "seconds", 0, 3600);
    const uint32_t burst = field(from, "burst"), flows = field(from, "flows"), count = field(from, "count");
    const uint16_t in = ports.ids()[0], out = ports.ids()[1];
    const ResidentResult result = from.Get("bound").ToBoolean() ? run_resident_bound(in, out, seconds, burst, flows, count)
                                                                : run_resident_rules(in, seconds, burst, flows);
    Napi::Object answer = Napi::Object::New(info.Env());
    answer.Set("packets", count_value(info.Env(), result.packets));
    answer.Set("emitted", count_value(info.Env(), result.emitted));
    answer.Set("checked", count_value(info.Env(), result.checked));
    answer.Set("wrong", count_value(info.Env(), result.wrong));
    answer.Set("seconds", Napi::Number::New(info.Env(), result.seconds));
    answer.Set("cpuSeconds", Napi::Number::New(info.Env(), result.cpu_seconds));
    return answer;
  });
}

Napi::Value open_ports_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    open_ports(info[0], false);
    return info.Env().Undefined();
  });
}

uint16_t port_id_of(const std::string& device) {
  uint16_t id = 0;
  if (rte_eth_dev_get_port_by_name(device.c_str(), &id) != 0) throw NativeFault("PORT", device + ": no such device", ENODEV);
  return id;
}

// What rte_flow_dev_dump says: the driver's own word on its rules, whoever made them.
Napi::Value installed_rules_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    char* said = nullptr;
    size_t bytes = 0;
    FILE* file = open_memstream(&said, &bytes);
    rte_flow_error error = {};
    const int result = rte_flow_dev_dump(port_id_of(text(info[0], "device")), nullptr, file, &error);
    std::fclose(file);
    const std::string rules(said, bytes);
    std::free(said);
    if (result != 0) throw NativeFault("RULE", "rte_flow_dev_dump", -result);
    return Napi::String::New(info.Env(), rules);
  });
}

// Rules that the gateway knows nothing of: packets to 192.0.2.0/24 (RFC 5737) are counted and dropped.
Napi::Value add_foreign_rules_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const uint16_t port_id = port_id_of(text(info[0], "device"));
    const uint32_t count = u32(info[1], "count", 255);
    rte_flow_attr attr = {};
    attr.transfer = 1;
    attr.priority = 3;
    rte_flow_item_ethdev from = {};
    from.port_id = port_id;
    rte_flow_item_ipv4 ipv4 = {}, mask = {};
    mask.hdr.dst_addr = UINT32_MAX;
    rte_flow_action_count counted = {};
    const rte_flow_item pattern[] = {{RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, &from, nullptr, nullptr},
                                     {RTE_FLOW_ITEM_TYPE_ETH, nullptr, nullptr, nullptr},
                                     {RTE_FLOW_ITEM_TYPE_IPV4, &ipv4, nullptr, &mask},
                                     {RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr, nullptr}};
    const rte_flow_action actions[] = {{RTE_FLOW_ACTION_TYPE_COUNT, &counted},
                                       {RTE_FLOW_ACTION_TYPE_DROP, nullptr},
                                       {RTE_FLOW_ACTION_TYPE_END, nullptr}};
    uint32_t made = 0;
    for (uint32_t i = 0; i < count; i++) {
      ipv4.hdr.dst_addr = rte_cpu_to_be_32(0xc0000200u + i);
      rte_flow_error error = {};
      if (rte_flow_create(port_id, &attr, pattern, actions, &error) != nullptr) made++;
    }
    return Napi::Number::New(info.Env(), made);
  });
}

// As a reset of the port does.
Napi::Value flush_rules_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    rte_flow_error error = {};
    const int result = rte_flow_flush(port_id_of(text(info[0], "device")), &error);
    if (result != 0) throw NativeFault("RULE", "rte_flow_flush", -result);
    return info.Env().Undefined();
  });
}

// Has a port of net_softflow fail in one of the ways that it has functions for. EAL opens plug-ins without making
// their symbols global.
Napi::Value fail_port(const Napi::CallbackInfo& info, const char* how) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    void* library = dlopen("librte_net_softflow.so", RTLD_NOW | RTLD_NOLOAD);
    void* found = library == nullptr ? nullptr : dlsym(library, how);
    if (found == nullptr) throw NativeFault("PORT", "net_softflow is not loaded", ENOENT);
    const auto fail = reinterpret_cast<int (*)(uint16_t)>(found);
    const int result = fail(port_id_of(text(info[0], "device")));
    if (result != 0) throw NativeFault("PORT", "no port of net_softflow", -result);
    return info.Env().Undefined();
  });
}

Napi::Value recover_port_call(const Napi::CallbackInfo& info) {
  return fail_port(info, "rte_pmd_softflow_recover");
}

Napi::Value want_reset_call(const Napi::CallbackInfo& info) {
  return fail_port(info, "rte_pmd_softflow_want_reset");
}

Napi::Value template_interface_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    std::string reason;
    if (has_template_interface(port_id_of(text(info[0], "device")), &reason)) return info.Env().Null();
    return Napi::String::New(info.Env(), reason);
  });
}

Napi::Value insertion_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Env env = info.Env();
    const Napi::Object from = object(info[0], "options");
    std::vector<uint16_t> port_ids;
    for (const std::string& device : texts(from.Get("devices"), "devices")) port_ids.push_back(port_id_of(device));
    const Napi::Array templates = binding::array(from.Get("templates"), "templates");
    const Napi::Value bytes = from.Get("arguments");
    if (port_ids.size() != 2 || templates.Length() != 2 || !bytes.IsTypedArray() ||
        bytes.As<Napi::TypedArray>().ByteLength() != 2 * sizeof(FlowArguments)) {
      throw NativeFault("ARGUMENT", "two devices, two templates and two records of arguments are needed");
    }
    std::unique_ptr<RuleTemplate> rules[2];
    RuleSource source = {};
    std::memcpy(source.arguments, bytes.As<Napi::Uint8Array>().Data(), sizeof source.arguments);
    for (uint32_t i = 0; i < 2; i++) {
      rules[i] = std::make_unique<RuleTemplate>(binding::template_source(templates.Get(i)), port_ids);
      source.rule[i] = rules[i].get();
      source.port_id[i] = port_ids[i];
    }
    source.hosts = std::max(1u, field(from, "hosts"));
    source.pool_addresses = std::max(1u, field(from, "poolAddresses"));
    const uint32_t sessions = field(from, "sessions");
    const uint32_t seed = field(from, "seed");
    const std::string way = text(from.Get("way"), "way");
    Napi::Object out = Napi::Object::New(env);
    InsertionResult result;
    if (way == "create") {
      result = insert_synchronously(source, sessions, seed);
    } else if (way == "template") {
      result = insert_by_template(source, sessions, field(from, "batch"), seed);
    } else if (way == "keep") {
      result = insert_only(source, sessions);
    } else if (way == "fill") {
      result.rules = sessions * 2;
      result.create_seconds = fill_seconds(source, sessions);
    } else if (way == "engine-rules") {
      const EngineMemory memory = engine_memory(source, sessions);
      result.rules = static_cast<uint32_t>(memory.rules);
      out.Set("bytes", count_value(env, memory.bytes));
    } else {
      throw NativeFault("ARGUMENT", "way is unknown");
    }
    out.Set("rules", Napi::Number::New(env, result.rules));
    out.Set("failed", Napi::Number::New(env, result.failed));
    out.Set("createSeconds", Napi::Number::New(env, result.create_seconds));
    out.Set("destroySeconds", Napi::Number::New(env, result.destroy_seconds));
    out.Set("error", Napi::String::New(env, result.error));
    return out;
  });
}

Napi::Value start_counting_call(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), start_counting());
}

Napi::Value stop_counting_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    stop_counting(text(info[0], "phase"));
    return info.Env().Undefined();
  });
}

Napi::Value sizes_call(const Napi::CallbackInfo& info) {
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("sessionRow", Napi::Number::New(info.Env(), sizeof(SessionRow)));
  out.Set("sessionCounters", Napi::Number::New(info.Env(), sizeof(SessionCounters)));
  out.Set("nicRules", Napi::Number::New(info.Env(), sizeof(NicRules)));
  return out;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  const auto add_call = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, call, name));
  };
  add_call("setScenario", set_scenario_call);
  add_call("run", run_call);
  add_call("resetCounters", reset_call);
  add_call("counters", counters_call);
  add_call("histogram", histogram_call);
  add_call("keepLedger", keep_ledger_call);
  add_call("ledger", ledger_call);
  add_call("forgetEndpoints", forget_endpoints_call);
  add_call("installedRules", installed_rules_call);
  add_call("addForeignRules", add_foreign_rules_call);
  add_call("flushRules", flush_rules_call);
  add_call("recoverPort", recover_port_call);
  add_call("wantReset", want_reset_call);
  add_call("startWakeups", start_wakeups_call);
  add_call("answerWakeup", answer_wakeup_call);
  add_call("wakeupsDone", wakeups_done_call);
  add_call("pacedRings", paced_rings_call);
  add_call("startPacedWakeups", start_paced_wakeups_call);
  add_call("armPacedWakeups", arm_paced_wakeups_call);
  add_call("awaitPacedWakeups", await_paced_wakeups_call);
  add_call("pacedWakeupsLost", paced_wakeups_lost_call);
  add_call("randomTouches", random_touches_call);
  add_call("ringHandOver", ring_hand_over_call);
  add_call("endpoints", endpoints_call);
  add_call("wireLoop", wire_loop_call);
  add_call("installResidentRules", install_resident_call);
  add_call("runResident", run_resident_call);
  add_call("openPorts", open_ports_call);
  add_call("templateInterface", template_interface_call);
  add_call("insertion", insertion_call);
  add_call("startCounting", start_counting_call);
  add_call("stopCounting", stop_counting_call);
  add_call("sizes", sizes_call);
  exports.Set("compiler", Napi::String::New(env, "GCC " __VERSION__));
  return exports;
}

}  // namespace

NODE_API_MODULE(sluice_bench, initialize)

}  // namespace sluice::bench
