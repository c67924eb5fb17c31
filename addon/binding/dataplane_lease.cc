// The part of the class Dataplane that a member of a pair uses.
#include <cmath>

#include "binding/dataplane_object.h"

namespace sluice::binding {
namespace {

constexpr double kNanosecondsPerMillisecond = 1e6;

// CLOCK_MONOTONIC in milliseconds; Infinity is no end.
Nanoseconds end_of(const Napi::Value& value, const char* what) {
  const double given = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
  if (std::isinf(given) && given > 0) return LeaseGate::kForever;
  return static_cast<Nanoseconds>(number(value, what, 0, 1e13) * kNanosecondsPerMillisecond);
}

}  // namespace

Napi::Value DataplaneObject::limit(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    dataplane_->limit(end_of(info[0], "transmitUntilMs"), end_of(info[1], "admitUntilMs"));
    return info.Env().Undefined();
  });
}

Napi::Value DataplaneObject::obey(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    dataplane_->obey();
    return info.Env().Undefined();
  });
}

Napi::Value DataplaneObject::announce(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    constexpr uint32_t kMostTimes = 1000;
    const Napi::Array list = array(info[0], "announcements");
    std::vector<Announcement> announcements;
    for (uint32_t i = 0; i < list.Length(); i++) {
      const Napi::Object given = object(list.Get(i), "announcement");
      announcements.push_back({port_index(given.Get("port")), u32(given.Get("address"), "address")});
    }
    const double interval = number(info[2], "intervalMs", 1, 1e6);
    dataplane_->announce(announcements, u32(info[1], "times", kMostTimes),
                         static_cast<Nanoseconds>(interval * kNanosecondsPerMillisecond));
    return info.Env().Undefined();
  });
}

Napi::Value DataplaneObject::inject(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!info[1].IsTypedArray()) throw NativeFault("ARGUMENT", "frame is not a Uint8Array");
    const auto given = info[1].As<Napi::Uint8Array>();
    const std::vector<uint8_t> frame(given.Data(), given.Data() + given.ByteLength());
    return Napi::Boolean::New(info.Env(), dataplane_->inject(port_index(info[0]), frame));
  });
}

Napi::Value DataplaneObject::caught(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::vector<CaughtFrame> frames = dataplane_->caught();
    Napi::Array list = Napi::Array::New(info.Env(), frames.size());
    for (uint32_t i = 0; i < frames.size(); i++) {
      Napi::Object frame = Napi::Object::New(info.Env());
      frame.Set("port", frames[i].port);
      frame.Set("bytes", Napi::Buffer<uint8_t>::Copy(info.Env(), frames[i].bytes.data(), frames[i].bytes.size()));
      list.Set(i, frame);
    }
    return list;
  });
}

Napi::Value DataplaneObject::liveness(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Liveness liveness = dataplane_->liveness();
    Napi::Array links = Napi::Array::New(info.Env(), liveness.links.size());
    for (uint32_t i = 0; i < liveness.links.size(); i++) links.Set(i, static_cast<bool>(liveness.links[i]));
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("rounds", static_cast<double>(liveness.rounds));
    out.Set("speaks", liveness.speaks);
    out.Set("jumpsFollow", liveness.jumps_follow);
    out.Set("links", links);
    return out;
  });
}

}  // namespace sluice::binding
