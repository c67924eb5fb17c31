#include "softflow_pmd/devargs.h"

#include <cstdlib>
#include <vector>

namespace sluice::softflow {
namespace {

// Splits at `separator` outside brackets. The brackets stay.
bool split(const std::string& text, char separator, std::vector<std::string>* parts) {
  int depth = 0;
  parts->emplace_back();
  for (const char c : text) {
    if (c == '[') ++depth;
    if (c == ']' && --depth < 0) return false;
    if (c == separator && depth == 0) {
      parts->emplace_back();
    } else {
      parts->back() += c;
    }
  }
  return depth == 0;
}

// Takes one level of brackets away: what they held is literal.
std::string unbracketed(const std::string& text) {
  std::string out;
  int depth = 0;
  for (const char c : text) {
    if (c == '[' && depth++ == 0) continue;
    if (c == ']' && --depth == 0) continue;
    out += c;
  }
  return out;
}

bool parse_number(const std::string& text, uint32_t low, uint32_t high, uint32_t* out) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return false;
  char* end = nullptr;
  const unsigned long value = std::strtoul(text.c_str(), &end, 0);
  if (*end != '\0' || value < low || value > high) return false;
  *out = static_cast<uint32_t>(value);
  return true;
}

std::string parse_wire(const std::string& value, DeviceArguments* out) {
  std::vector<std::string> parts;
  if (!split(value, ':', &parts)) return "wire: brackets do not match";
  out->wire_name = unbracketed(parts[0]);
  if (out->wire_name.empty()) return "wire: names no device; write wire=DRIVER:ARG=VALUE";
  out->wire_arguments.clear();
  for (size_t i = 1; i < parts.size(); ++i) {
    if (i > 1) out->wire_arguments += ',';
    out->wire_arguments += unbracketed(parts[i]);
  }
  return {};
}

}  // namespace

std::string parse_device_arguments(const std::string& text, DeviceArguments* out) {
  std::vector<std::string> arguments;
  if (!split(text, ',', &arguments)) return "brackets do not match";
  bool has_wire = false;
  for (const std::string& argument : arguments) {
    if (argument.empty()) continue;
    const size_t equals = argument.find('=');
    const std::string key = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    uint32_t number = 0;
    if (key == "wire") {
      if (has_wire) return "wire: given twice";
      has_wire = true;
      if (std::string wrong = parse_wire(value, out); !wrong.empty()) return wrong;
    } else if (key == "vxlan_port") {
      if (!parse_number(value, 1, 65535, &number)) return "vxlan_port: must be 1 to 65535";
      out->vxlan_port = static_cast<uint16_t>(number);
    } else if (key == "ordered") {
      if (!parse_number(value, 0, 1, &number)) return "ordered: must be 0 or 1";
      out->ordered = number != 0;
    } else if (key == "max_rules") {
      if (!parse_number(value, 1, UINT32_MAX, &number)) return "max_rules: must be a number above 0";
      out->max_rules = number;
    } else if (key == "fail_every") {
      if (!parse_number(value, 1, UINT32_MAX, &number)) return "fail_every: must be a number above 0";
      out->fail_every = number;
    } else if (key == "profile") {
      out->profile = find_profile(value);
      if (out->profile == nullptr)
        return "profile: there is none of that name; `sluice targets` lists them, NAME or NAME@22.11";
    } else if (key == "insert_latency") {
      if (!parse_number(value, 0, 1000000, &number))
        return "insert_latency: must be 0 to 1000000 microseconds";
      out->insert_latency_us = number;
    } else {
      return key +
             ": unknown argument; known are wire, vxlan_port, ordered, max_rules, fail_every, insert_latency, "
             "profile";
    }
  }
  if (!has_wire) return "wire: is missing; write wire=DRIVER:ARG=VALUE";
  return {};
}

}  // namespace sluice::softflow
