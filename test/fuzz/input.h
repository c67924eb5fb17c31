// What the fuzzers of rules and packets share: the input, and how a violation ends the run.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace fuzz {

inline void demand(bool truth, const char* what) {
  if (truth) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

// The input, consumed from the front; zeros behind its end.
struct Input {
  const uint8_t* data;
  size_t left;

  uint8_t byte() {
    if (left == 0) return 0;
    left--;
    return *data++;
  }
  void fill(void* out, size_t count) {
    if (count == 0) return;
    const size_t given = std::min(count, left);
    std::memcpy(out, data, given);
    std::memset(static_cast<uint8_t*>(out) + given, 0, count - given);
    data += given;
    left -= given;
  }
  template <typename T>
  T value() {
    T out;
    fill(&out, sizeof out);
    return out;
  }
};

}  // namespace fuzz
