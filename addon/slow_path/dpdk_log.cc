#include "slow_path/dpdk_log.h"

#include <rte_log.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <mutex>

namespace sluice {
namespace {

constexpr size_t kMostKept = 64 * 1024;

struct Log {
  std::mutex mutex;
  bool keeping = false;
  std::string kept;
};

// Never destroyed: DPDK may log while the process ends.
Log& log() {
  static auto* instance = new Log;
  return *instance;
}

void show(const char* text, size_t length) {
  while (length > 0) {
    const ssize_t written = write(STDERR_FILENO, text, length);
    if (written <= 0) return;
    text += written;
    length -= static_cast<size_t>(written);
  }
}

ssize_t take(void*, const char* text, size_t length) {
  const std::lock_guard<std::mutex> guard(log().mutex);
  if (!log().keeping) {
    show(text, length);
  } else if (log().kept.size() < kMostKept) {
    log().kept.append(text, length);
  }
  return static_cast<ssize_t>(length);
}

// EAL says these of every device that its driver refused; the driver's own words came before.
bool is_consequence(const std::string& line) {
  return line.rfind("EAL: Driver cannot attach", 0) == 0 || line.rfind("EAL: Failed to attach", 0) == 0;
}

// "EAL: " and "function_name(): " say where it was written, not what is wrong.
std::string without_origin(std::string line) {
  if (line.rfind("EAL: ", 0) == 0) line.erase(0, 5);
  size_t name = 0;
  while (name < line.size() &&
         (std::isalnum(static_cast<unsigned char>(line[name])) != 0 || line[name] == '_'))
    name++;
  if (name > 0 && line.compare(name, 4, "(): ") == 0) line.erase(0, name + 4);
  return line;
}

}  // namespace

void send_dpdk_log_to_stderr() {
  cookie_io_functions_t functions = {};
  functions.write = take;
  FILE* stream = fopencookie(nullptr, "w", functions);
  if (stream != nullptr) rte_openlog_stream(stream);
}

KeptLog::KeptLog() {
  const std::lock_guard<std::mutex> guard(log().mutex);
  log().keeping = true;
  log().kept.clear();
}

KeptLog::~KeptLog() {
  const std::lock_guard<std::mutex> guard(log().mutex);
  log().keeping = false;
  show(log().kept.data(), log().kept.size());
  log().kept.clear();
}

std::string KeptLog::cause(const std::string& otherwise) {
  std::string kept;
  {
    const std::lock_guard<std::mutex> guard(log().mutex);
    kept.swap(log().kept);
  }
  for (size_t from = 0; from < kept.size();) {
    const size_t end = std::min(kept.find('\n', from), kept.size());
    std::string line = kept.substr(from, end - from);
    from = end + 1;
    const auto is_ending = [](unsigned char last) { return std::isspace(last) != 0 || last == '.'; };
    while (!line.empty() && is_ending(static_cast<unsigned char>(line.back()))) line.pop_back();
    if (!line.empty() && !is_consequence(line)) return without_origin(line);
  }
  return otherwise;
}

}  // namespace sluice
