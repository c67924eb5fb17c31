#include "bench/zipf.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace sluice::bench {

Zipf::Zipf(uint32_t count, double exponent, uint64_t seed) : columns_(count) {
  std::vector<uint32_t> flow(count);
  std::iota(flow.begin(), flow.end(), 0);
  std::shuffle(flow.begin(), flow.end(), std::mt19937_64(seed));
  std::vector<double> share(count);
  double sum = 0;
  for (uint32_t i = 0; i < count; i++) sum += share[i] = std::pow(i + 1.0, -exponent);
  std::vector<uint32_t> small, large;
  for (uint32_t i = 0; i < count; i++) {
    share[i] *= count / sum;
    (share[i] < 1 ? small : large).push_back(i);
  }
  while (!small.empty() && !large.empty()) {
    const uint32_t low = small.back(), high = large.back();
    small.pop_back();
    columns_[low] = {static_cast<uint32_t>(share[low] * 0x1p32), flow[low], flow[high]};
    share[high] -= 1 - share[low];
    if (share[high] >= 1) continue;
    large.pop_back();
    small.push_back(high);
  }
  for (const auto& rest : {small, large}) {
    for (const uint32_t i : rest) columns_[i] = {UINT32_MAX, flow[i], flow[i]};
  }
}

}  // namespace sluice::bench
