// The part of the class Dataplane that copies packets for whoever watches them.
#include "binding/dataplane_object.h"

namespace sluice::binding {

// Null: nobody watches any more.
Napi::Value DataplaneObject::tap(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    TapFilter filter;
    if (!info[0].IsNull()) {
      const Napi::Object from = object(info[0], "filter");
      const auto field = [&](const char* name, uint32_t most) { return u32(from.Get(name), name, most); };
      filter.kinds = field("kinds", 7);
      filter.reasons = field("reasons", UINT32_MAX);
      filter.address = field("address", UINT32_MAX);
      filter.mask = field("mask", UINT32_MAX);
      filter.port = static_cast<uint16_t>(field("port", 65535));
      filter.protocol = static_cast<uint8_t>(field("protocol", 255));
      filter.by_vni = from.Get("vni").IsNumber();
      if (filter.by_vni) filter.vni = field("vni", UINT32_MAX);
      filter.bytes = field("bytes", 65535);
    }
    dataplane_->tap(filter);
    return info.Env().Undefined();
  });
}

Napi::Value DataplaneObject::tapped(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    std::vector<uint8_t> records;
    const uint64_t lost = dataplane_->tapped(&records);
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("records", Napi::Buffer<uint8_t>::Copy(info.Env(), records.data(), records.size()));
    out.Set("lost", Napi::Number::New(info.Env(), static_cast<double>(lost)));
    return out;
  });
}

}  // namespace sluice::binding
