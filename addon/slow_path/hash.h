// Seeded hash of small keys. The seed is random: who chooses addresses and ports must not choose the bucket.
#pragma once

#include <sys/random.h>

#include <cstdint>
#include <cstring>

namespace sluice {

inline uint64_t mix64(uint64_t value) {  // finaliser of MurmurHash3
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccdULL;
  value ^= value >> 33;
  value *= 0xc4ceb9fe1a85ec53ULL;
  return value ^ value >> 33;
}

template <typename Key>
uint64_t keyed_hash(const Key& key, uint64_t seed) {
  static_assert(sizeof(Key) % sizeof(uint64_t) == 0 && __has_unique_object_representations(Key));
  uint64_t hash = seed;
  for (size_t at = 0; at < sizeof(Key); at += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, reinterpret_cast<const uint8_t*>(&key) + at, sizeof word);
    hash = mix64(hash ^ word);
  }
  return hash;
}

inline uint64_t random_seed() {
  uint64_t seed = 0;
  // Before the kernel's pool is ready the address of a local is the best there is; nothing depends on it but
  // speed.
  if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed) seed = reinterpret_cast<uintptr_t>(&seed);
  return seed;
}

inline uint32_t power_of_two_at_least(uint32_t value) {
  uint32_t power = 1;
  while (power < value && power < 1u << 31) power <<= 1;
  return power;
}

}  // namespace sluice
