#include "binding/arguments.h"

#include <cmath>

namespace sluice::binding {
namespace {

constexpr double kMaxMac = 281474976710655.0;  // 2^48 − 1

bool is_power_of_two(uint32_t value) { return value != 0 && (value & (value - 1)) == 0; }

void read_mac(const Napi::Value& value, const char* what, uint8_t* out) {
  auto mac = static_cast<uint64_t>(number(value, what, 0, kMaxMac));
  for (int i = 5; i >= 0; i--, mac >>= 8) out[i] = static_cast<uint8_t>(mac);
}

TemplateSource::Bytes bytes(const Napi::Value& value, const char* what) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw NativeFault("ARGUMENT", std::string(what) + " is not a Uint8Array");
  }
  const auto view = value.As<Napi::Uint8Array>();
  return {view.Data(), view.Data() + view.ElementLength()};
}

std::optional<TemplateSource::Bytes> optional_bytes(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  if (value.IsUndefined() || value.IsNull()) return std::nullopt;
  return bytes(value, key);
}

uint32_t ring_slots(const Napi::Object& options, const char* key) {
  const uint32_t slots = u32(options.Get(key), key, 1u << 24);
  if (!is_power_of_two(slots)) throw NativeFault("ARGUMENT", std::string(key) + " is not a power of two");
  return slots;
}

}  // namespace

void throw_fault(Napi::Env env, const NativeFault& fault) {
  Napi::Error error = Napi::Error::New(env, fault.what());
  error.Set("code", fault.code);
  if (fault.error != 0) error.Set("errno", Napi::Number::New(env, fault.error));
  if (fault.rte_type >= 0) error.Set("rteType", Napi::Number::New(env, fault.rte_type));
  if (fault.cause_index >= 0) error.Set("causeIndex", Napi::Number::New(env, fault.cause_index));
  throw error;
}

double number(const Napi::Value& value, const char* what, double low, double high) {
  const double read = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(read >= low && read <= high)) {
    throw NativeFault("ARGUMENT", std::string(what) + " is not a number from " + std::to_string(low) +
                                      " to " + std::to_string(high));
  }
  return read;
}

uint32_t u32(const Napi::Value& value, const char* what, uint32_t high) {
  return static_cast<uint32_t>(number(value, what, 0, high));
}

std::string text(const Napi::Value& value, const char* what) {
  if (!value.IsString()) throw NativeFault("ARGUMENT", std::string(what) + " is not a string");
  return value.As<Napi::String>().Utf8Value();
}

Napi::Object object(const Napi::Value& value, const char* what) {
  if (!value.IsObject()) throw NativeFault("ARGUMENT", std::string(what) + " is not an object");
  return value.As<Napi::Object>();
}

Napi::Array array(const Napi::Value& value, const char* what) {
  if (!value.IsArray()) throw NativeFault("ARGUMENT", std::string(what) + " is not an array");
  return value.As<Napi::Array>();
}

std::vector<std::string> texts(const Napi::Value& value, const char* what) {
  const Napi::Array list = array(value, what);
  std::vector<std::string> out;
  for (uint32_t i = 0; i < list.Length(); i++) out.push_back(text(list.Get(i), what));
  return out;
}

TemplateSource template_source(const Napi::Value& value) {
  const Napi::Object given = object(value, "template");
  TemplateSource source;
  source.group = u32(given.Get("group"), "group");
  source.priority = u32(given.Get("priority"), "priority");
  source.transfer = given.Get("transfer").ToBoolean();
  const Napi::Array items = array(given.Get("items"), "items");
  for (uint32_t i = 0; i < items.Length(); i++) {
    const Napi::Object item = object(items.Get(i), "item");
    const auto type = static_cast<ItemType>(u32(item.Get("type"), "item type", 255));
    source.items.push_back(
        {type, optional_bytes(item, "spec"), optional_bytes(item, "mask"), optional_bytes(item, "last")});
  }
  const Napi::Array actions = array(given.Get("actions"), "actions");
  for (uint32_t i = 0; i < actions.Length(); i++) {
    const Napi::Object action = object(actions.Get(i), "action");
    const auto type = static_cast<ActionType>(u32(action.Get("type"), "action type", 255));
    source.actions.push_back({type, bytes(action.Get("conf"), "conf")});
  }
  constexpr uint32_t kPatchNumbers = 5, kBigEndian = 256;
  const Napi::Array patches = array(given.Get("patches"), "patches");
  if (patches.Length() % kPatchNumbers != 0)
    throw NativeFault("ARGUMENT", "patches are not five numbers each");
  for (uint32_t i = 0; i < patches.Length(); i += kPatchNumbers) {
    uint32_t numbers[kPatchNumbers];
    for (uint32_t j = 0; j < kPatchNumbers; j++) numbers[j] = u32(patches.Get(i + j), "patch", 0xffff);
    if (numbers[0] >= kPatchTargetCount) throw NativeFault("ARGUMENT", "patch has an unknown target");
    source.patches.push_back({static_cast<PatchTarget>(numbers[0]), numbers[1], numbers[2],
                              numbers[3] & (kBigEndian - 1), numbers[4], numbers[3] >= kBigEndian});
  }
  if (given.Has("second") && !given.Get("second").IsUndefined())
    source.second.push_back(template_source(given.Get("second")));
  return source;
}

namespace {

}  // namespace

SteeringSource steering_source(const Napi::Value& value) {
  const Napi::Object given = object(value, "steering");
  constexpr uint32_t kMostVpcs = 0x7fff;
  SteeringSource source;
  const auto each = [&](const char* name, auto read) {
    const Napi::Array list = array(given.Get(name), name);
    for (uint32_t i = 0; i < list.Length(); i++) read(list.Get(i));
  };
  each("vpcs", [&](const Napi::Value& one) {
    const Napi::Object vpc = object(one, "vpc");
    source.vpcs.push_back({u32(vpc.Get("vni"), "vni"), u32(vpc.Get("index"), "index", kMostVpcs)});
  });
  each("peerVnis", [&](const Napi::Value& vni) { source.peer_vnis.push_back(u32(vni, "peer VNI")); });
  each("peering", [&](const Napi::Value& one) {
    const Napi::Object range = object(one, "peering range");
    source.peering.push_back({u32(range.Get("first"), "first"), u32(range.Get("last"), "last"),
                              u32(range.Get("vpc"), "vpc", kMostVpcs)});
  });
  each("bindings", [&](const Napi::Value& one) {
    const Napi::Object binding = object(one, "binding");
    source.bindings.push_back({u32(binding.Get("first"), "first"), u32(binding.Get("last"), "last"),
                               u32(binding.Get("private"), "private"),
                               static_cast<uint16_t>(u32(binding.Get("port"), "port", 0xffff)),
                               static_cast<uint8_t>(u32(binding.Get("protocol"), "protocol", 0xff))});
  });
  each("external", [&](const Napi::Value& one) {
    const Napi::Object range = object(one, "external range");
    source.external.push_back({u32(range.Get("first"), "first"), u32(range.Get("last"), "last")});
  });
  each("formerEnds", [&](const Napi::Value& one) { source.former_ends.push_back(u32(one, "former end")); });
  each("formerPeering", [&](const Napi::Value& one) {
    const Napi::Object former = object(one, "former peering address");
    source.former_peering.push_back(
        {u32(former.Get("address"), "address"), u32(former.Get("vpc"), "vpc", kMostVpcs)});
  });
  return source;
}

namespace {

size_t shared_table_bytes(const Napi::Object& from, const char* name) {
  constexpr double kMostBytes = 1ull << 40;
  const auto bytes = static_cast<size_t>(number(from.Get(name), name, 0, kMostBytes));
  if (!SharedTable::is_size(bytes)) {
    throw NativeFault("ARGUMENT", std::string(name) + " is " + std::to_string(bytes) + ", not the " +
                                      std::to_string(sizeof(SharedTableHeader)) + " + " +
                                      std::to_string(sizeof(SharedTableEntry)) + " * 2^n of a shared table");
  }
  return bytes;
}

void read_shards(const Napi::Value& value, DataplaneOptions* options) {
  if (value.IsUndefined()) return;
  const Napi::Object given = object(value, "shards");
  options->shards = static_cast<uint16_t>(number(given.Get("count"), "count", 2, Steering::kMostShards));
  options->steering = steering_source(given.Get("steering"));
  options->block_bytes = shared_table_bytes(given, "blockBytes");
  options->remote_bytes = shared_table_bytes(given, "remoteBytes");
}

}  // namespace

DataplaneOptions dataplane_options(const Napi::Value& value) {
  const Napi::Object given = object(value, "options");
  DataplaneOptions options;
  const Napi::Array ports = array(given.Get("ports"), "ports");
  if (ports.Length() < 1 || ports.Length() > 255)
    throw NativeFault("ARGUMENT", "between 1 and 255 ports are needed");
  for (uint32_t i = 0; i < ports.Length(); i++) {
    const Napi::Object port = object(ports.Get(i), "port");
    PortOptions out;
    out.role = static_cast<PortRole>(u32(port.Get("role"), "role", kPortRoleCount - 1));
    out.device = text(port.Get("device"), "device");
    read_mac(port.Get("mac"), "mac", out.mac);
    out.address = u32(port.Get("address"), "address");
    out.mtu = static_cast<uint32_t>(
        number(port.Get("mtu"), "mtu", 68, 65000));  // RFC 791: every link carries 68 bytes
    out.vlan = static_cast<int>(number(port.Get("vlan"), "vlan", -1, 4095));
    options.ports.push_back(std::move(out));
  }
  const Napi::Object underlay = object(given.Get("underlay"), "underlay");
  options.slow_path.vtep = u32(underlay.Get("vtep"), "vtep");
  read_mac(underlay.Get("mac"), "underlay mac", options.slow_path.underlay_mac);
  options.slow_path.vxlan_udp_port = static_cast<uint16_t>(u32(underlay.Get("udpPort"), "udpPort", 0xffff));
  options.slow_path.max_sessions =
      static_cast<uint32_t>(number(given.Get("maxSessions"), "maxSessions", 1, RuleContext::kMaxRows - 1));
  options.slow_path.max_held =
      static_cast<uint32_t>(number(given.Get("maxHeld"), "maxHeld", 1, HoldTable::kMaxSlots));
  options.slow_path.event_slots = ring_slots(given, "eventSlots");
  options.slow_path.decision_slots = ring_slots(given, "decisionSlots");
  const Napi::Value clamp = given.Get("mssClamp");
  if (!clamp.IsUndefined())
    options.slow_path.mss_clamp = static_cast<uint16_t>(u32(clamp, "mssClamp", 0xffff));
  options.slow_path.replay = given.Get("replay").ToBoolean();
  options.slow_path.silent = given.Get("silent").ToBoolean();
  options.slow_path.offloads = given.Get("offloads").ToBoolean();
  read_shards(given.Get("shards"), &options);
  const uint64_t rows = uint64_t{options.slow_path.max_sessions} * options.shards;
  if (rows >= RuleContext::kMaxRows)
    throw NativeFault("ARGUMENT", "maxSessions of all shards are " + std::to_string(rows));
  return options;
}

std::vector<CapturePath> captures(const Napi::Value& value, const char* what) {
  const Napi::Array list = array(value, what);
  std::vector<CapturePath> out;
  for (uint32_t i = 0; i < list.Length(); i++) {
    const Napi::Object capture = object(list.Get(i), what);
    out.push_back(
        {static_cast<uint8_t>(u32(capture.Get("port"), "port", 255)), text(capture.Get("path"), "path")});
  }
  return out;
}

Napi::Value time_value(Napi::Env env, Nanoseconds time) {
  Napi::Array pair = Napi::Array::New(env, 2);
  pair.Set(0u, whole_seconds(time));
  pair.Set(1u, second_fraction(time));
  return pair;
}

}  // namespace sluice::binding
