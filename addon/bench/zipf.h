// Flows drawn with Zipf's rates: the k-th fastest has a share proportional to k^-exponent. Who is the k-th is drawn once.
#pragma once

#include <cstdint>
#include <vector>

namespace sluice::bench {

class __attribute__((visibility("default"))) Zipf {
 public:
  Zipf(uint32_t count, double exponent, uint64_t seed);

  // `random`: 64 bits. 0 .. count - 1. Walker's alias method: two look-ups, whatever the count.
  uint32_t draw(uint64_t random) const {
    const auto column = static_cast<uint32_t>((random >> 32) * columns_.size() >> 32);
    const Column& at = columns_[column];
    return static_cast<uint32_t>(random) < at.own ? at.flow : at.other;
  }

 private:
  struct Column {
    uint32_t own;  // of 2^32: how often the column stands for `flow`, and else for `other`
    uint32_t flow, other;
  };
  std::vector<Column> columns_;
};

}  // namespace sluice::bench
