// The part of the class Dataplane that compares rules. A rule is two numbers, its handle and its context.
#include "binding/dataplane_object.h"

namespace sluice::binding {
namespace {

Napi::BigUint64Array pairs_of(Napi::Env env, const std::vector<RuleHandle>& rules) {
  auto out = Napi::BigUint64Array::New(env, rules.size() * 2);
  for (size_t i = 0; i < rules.size(); i++) {
    out[2 * i] = reinterpret_cast<uint64_t>(rules[i].flow);
    out[2 * i + 1] = reinterpret_cast<uint64_t>(rules[i].context);
  }
  return out;
}

}  // namespace

Napi::Value DataplaneObject::installed_rules(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    bool lossless = true;
    if (!info[1].IsBigInt()) throw NativeFault("ARGUMENT", "cursor is no bigint");
    uint64_t cursor = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
    std::vector<RuleHandle> rules;
    if (!dataplane_->installed_rules(port_index(info[0]), &cursor, &rules)) return info.Env().Null();
    Napi::Object out = Napi::Object::New(info.Env());
    if (cursor == UINT64_MAX) {
      out.Set("next", info.Env().Null());
    } else {
      out.Set("next", Napi::BigInt::New(info.Env(), cursor));
    }
    out.Set("rules", pairs_of(info.Env(), rules));
    return out;
  });
}

Napi::Value DataplaneObject::own_rules(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    std::vector<RuleHandle> rules;
    const uint32_t next = dataplane_->own_rules(shard_, port_index(info[0]), u32(info[1], "row"), &rules);
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("next", next);
    out.Set("rules", pairs_of(info.Env(), rules));
    return out;
  });
}

// JavaScript passes on what installedRules() and ownRules() told it.
Napi::Value DataplaneObject::repair_rules(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!info[2].IsTypedArray() || info[2].As<Napi::TypedArray>().TypedArrayType() != napi_biguint64_array)
      throw NativeFault("ARGUMENT", "rules is no BigUint64Array");
    const auto pairs = info[2].As<Napi::BigUint64Array>();
    std::vector<RuleHandle> rules;
    for (size_t i = 0; i + 1 < pairs.ElementLength(); i += 2)
      rules.push_back({reinterpret_cast<rte_flow*>(pairs[i]), reinterpret_cast<void*>(pairs[i + 1])});
    const std::string what = text(info[1], "what");
    const std::vector<bool> done =
        dataplane_->repair_rules(shard_, port_index(info[0]), what == "missing", rules);
    Napi::Array out = Napi::Array::New(info.Env(), done.size());
    for (uint32_t i = 0; i < done.size(); i++) out.Set(i, Napi::Boolean::New(info.Env(), done[i]));
    return out;
  });
}

Napi::Value DataplaneObject::recovered_ports(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    PortEvents& events = dataplane_->port_events();
    const uint64_t bits = events.take();
    Napi::Array out = Napi::Array::New(info.Env());
    for (uint32_t port = 0; port < 64; port++) {
      if ((bits >> port & 1) == 0) continue;
      Napi::Object one = Napi::Object::New(info.Env());
      one.Set("port", port);
      one.Set("keepsRules", events.keeps_rules(port));
      out.Set(out.Length(), one);
    }
    return out;
  });
}

Napi::Value DataplaneObject::ports_to_reset(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const uint64_t bits = dataplane_->port_events().take_resets();
    Napi::Array out = Napi::Array::New(info.Env());
    for (uint32_t port = 0; port < 64; port++) {
      if ((bits >> port & 1) != 0) out.Set(out.Length(), port);
    }
    return out;
  });
}

Napi::Value DataplaneObject::close_port(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::vector<void*> lost = dataplane_->close_port(shard_, port_index(info[0]));
    Napi::BigUint64Array out = Napi::BigUint64Array::New(info.Env(), lost.size());
    for (size_t i = 0; i < lost.size(); i++) out[i] = reinterpret_cast<uintptr_t>(lost[i]);
    return out;
  });
}

Napi::Value DataplaneObject::reopen_port(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    dataplane_->reopen_port(port_index(info[0]));
    return info.Env().Undefined();
  });
}

}  // namespace sluice::binding
