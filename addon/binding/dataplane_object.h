// The JavaScript class Dataplane (src/native/binding.ts).
#pragma once

#include "binding/arguments.h"

namespace sluice::binding {

class DataplaneObject : public Napi::ObjectWrap<DataplaneObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit DataplaneObject(const Napi::CallbackInfo& info);
  ~DataplaneObject() override;

 private:
  Napi::Value register_template(const Napi::CallbackInfo& info);
  Napi::Value install_static(const Napi::CallbackInfo& info);
  Napi::Value table_memory(const Napi::CallbackInfo& info);
  Napi::Value probe_template(const Napi::CallbackInfo& info);
  Napi::Value steer_by(const Napi::CallbackInfo& info);
  Napi::Value poll(const Napi::CallbackInfo& info);
  Napi::Value start(const Napi::CallbackInfo& info);
  Napi::Value stop(const Napi::CallbackInfo& info);
  Napi::Value arm_doorbell(const Napi::CallbackInfo& info);
  Napi::Value await_events(const Napi::CallbackInfo& info);
  Napi::Value replay_open(const Napi::CallbackInfo& info);
  Napi::Value replay_run(const Napi::CallbackInfo& info);
  Napi::Value replay_next_time(const Napi::CallbackInfo& info);
  Napi::Value replay_close(const Napi::CallbackInfo& info);
  Napi::Value set_clock(const Napi::CallbackInfo& info);
  Napi::Value clock(const Napi::CallbackInfo& info);
  Napi::Value statistics(const Napi::CallbackInfo& info);
  Napi::Value tap(const Napi::CallbackInfo& info);
  Napi::Value tapped(const Napi::CallbackInfo& info);
  Napi::Value installed_rules(const Napi::CallbackInfo& info);
  Napi::Value own_rules(const Napi::CallbackInfo& info);
  Napi::Value repair_rules(const Napi::CallbackInfo& info);
  Napi::Value recovered_ports(const Napi::CallbackInfo& info);
  Napi::Value ports_to_reset(const Napi::CallbackInfo& info);
  Napi::Value close_port(const Napi::CallbackInfo& info);
  Napi::Value reopen_port(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  // dataplane_lease.cc
  Napi::Value limit(const Napi::CallbackInfo& info);
  Napi::Value obey(const Napi::CallbackInfo& info);
  Napi::Value announce(const Napi::CallbackInfo& info);
  Napi::Value inject(const Napi::CallbackInfo& info);
  Napi::Value caught(const Napi::CallbackInfo& info);
  Napi::Value liveness(const Napi::CallbackInfo& info);

  void attach(const Napi::Object& attachment);
  void publish_memory(Napi::Env env, Napi::Object self);
  uint8_t port_index(const Napi::Value& value);
  // The shard that this object is.
  Lane& lane() { return dataplane_->lane(shard_); }
  void hook();
  void shut(bool tell_loop);
  void release_doorbell();
  static void on_environment_end(void* self);

  napi_env env_;
  std::shared_ptr<Dataplane> dataplane_;
  uint16_t shard_ = 0;
  uint32_t id_ = 0;
  bool owns_ = false;   // it was made with options, and closes all
  bool starts_ = false;  // its start() started the shard's lcore
  Napi::ThreadSafeFunction doorbell_;
  bool has_doorbell_ = false;
  bool hooked_ = false;
};

}  // namespace sluice::binding
