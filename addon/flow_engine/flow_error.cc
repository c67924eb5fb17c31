#include "flow_engine/flow_error.h"

#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace sluice {

const char* named_message(const char* name, const char* text) {
  // Never destroyed: a driver may report errors until the very end of the process.
  static auto* lock = new std::mutex;
  static auto* messages = new std::map<std::pair<const char*, const char*>, std::string>;
  const std::lock_guard<std::mutex> guard(*lock);
  std::string& message = (*messages)[{name, text}];
  if (message.empty()) message = std::string(name) + ": " + text;
  return message.c_str();
}

}  // namespace sluice
