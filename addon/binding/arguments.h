// Reading what JavaScript passes. All of it is copied to plain structures; nothing of JavaScript is kept.
#pragma once

#ifndef NAPI_CPP_EXCEPTIONS
#define NAPI_CPP_EXCEPTIONS
#endif
#include <napi.h>

#include <string>
#include <vector>

#include "flow_port/rule_template.h"
#include "slow_path/dataplane.h"
#include "slow_path/native_fault.h"

namespace sluice::binding {

// Throws the fault as a JavaScript Error with code, errno, rteType and causeIndex.
[[noreturn]] void throw_fault(Napi::Env env, const NativeFault& fault);

// Runs an API call; every C++ exception becomes a JavaScript one.
template <typename Call>
auto guarded(Napi::Env env, Call call) -> decltype(call()) {
  try {
    return call();
  } catch (const NativeFault& fault) {
    throw_fault(env, fault);
  } catch (const std::bad_alloc&) {
    throw_fault(env, NativeFault("MEMORY", "out of memory", ENOMEM));
  }
}

// Throw NativeFault ARGUMENT, naming what is wrong.
double number(const Napi::Value& value, const char* what, double low, double high);
uint32_t u32(const Napi::Value& value, const char* what, uint32_t high = UINT32_MAX);
std::string text(const Napi::Value& value, const char* what);
std::vector<std::string> texts(const Napi::Value& value, const char* what);
Napi::Object object(const Napi::Value& value, const char* what);
Napi::Array array(const Napi::Value& value, const char* what);

TemplateSource template_source(const Napi::Value& value);
SteeringSource steering_source(const Napi::Value& value);
DataplaneOptions dataplane_options(const Napi::Value& value);
std::vector<CapturePath> captures(const Napi::Value& value, const char* what);

Napi::Value time_value(Napi::Env env, Nanoseconds time);

}  // namespace sluice::binding
