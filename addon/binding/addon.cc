// The addon's entry: EAL, memory wires, device probing and the Dataplane class (src/native/binding.ts).
#include "binding/dataplane_object.h"
#include "flow_list/flow_line.h"
#include "slow_path/eal.h"
#include "slow_path/memory_wire.h"

namespace sluice::binding {
namespace {

Napi::Value start_eal_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    start_eal(texts(info[0], "args"));
    return info.Env().Undefined();
  });
}

Napi::Value create_memory_wires_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::vector<std::string> devices = create_memory_wires(texts(info[0], "names"));
    Napi::Array list = Napi::Array::New(info.Env(), devices.size());
    for (uint32_t i = 0; i < devices.size(); i++) list.Set(i, devices[i]);
    return list;
  });
}

Napi::Value probe_device_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    probe_device(text(info[0], "devargs"));
    return info.Env().Undefined();
  });
}

Napi::Value driver_of_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(), driver_of(text(info[0], "device")));
  });
}

Napi::Value dpdk_version_call(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), dpdk_version());
}

Napi::Value cpus_call(const Napi::CallbackInfo& info) {
  const std::vector<uint32_t> cpus = process_cpus();
  Napi::Array out = Napi::Array::New(info.Env(), cpus.size());
  for (uint32_t i = 0; i < cpus.size(); i++) out.Set(i, Napi::Number::New(info.Env(), cpus[i]));
  return out;
}

Napi::Value now_call(const Napi::CallbackInfo& info) { return time_value(info.Env(), monotonic_now()); }

// A view of what JavaScript holds, for the time of the call.
std::span<char> memory(const Napi::Value& value, const char* what) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw NativeFault("ARGUMENT", std::string(what) + " is not a Uint8Array");
  }
  Napi::Uint8Array view = value.As<Napi::Uint8Array>();
  return {reinterpret_cast<char*>(view.Data()), view.ElementLength()};
}

Napi::Value format_flow_lines_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::span<char> records = memory(info[0], "lines");
    const uint32_t count = u32(info[1], "count");
    if (records.size() / sizeof(FlowLine) < count)
      throw NativeFault("ARGUMENT", "lines are fewer than count");
    if (reinterpret_cast<uintptr_t>(records.data()) % alignof(FlowLine) != 0) {
      throw NativeFault("ARGUMENT", "lines are not aligned");
    }
    const std::span lines(reinterpret_cast<const FlowLine*>(records.data()), count);
    const ptrdiff_t written = format_flow_lines(lines, memory(info[2], "texts"), memory(info[3], "out"));
    if (written < 0) throw NativeFault("ARGUMENT", "a text is not whole, or out has no room");
    return Napi::Number::New(info.Env(), static_cast<double>(written));
  });
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("startEal", Napi::Function::New(env, start_eal_call, "startEal"));
  exports.Set("createMemoryWires", Napi::Function::New(env, create_memory_wires_call, "createMemoryWires"));
  exports.Set("probeDevice", Napi::Function::New(env, probe_device_call, "probeDevice"));
  exports.Set("driverOf", Napi::Function::New(env, driver_of_call, "driverOf"));
  exports.Set("dpdkVersion", Napi::Function::New(env, dpdk_version_call, "dpdkVersion"));
  exports.Set("formatFlowLines", Napi::Function::New(env, format_flow_lines_call, "formatFlowLines"));
  exports.Set("cpus", Napi::Function::New(env, cpus_call, "cpus"));
  exports.Set("now", Napi::Function::New(env, now_call, "now"));
  exports.Set("Dataplane", DataplaneObject::define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(sluice, initialize)

}  // namespace sluice::binding
