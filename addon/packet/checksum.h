// Internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice {

// One's complement sum over bytes in network order, not complemented, folded to 16 bits, as a
// big-endian-in-memory value.
uint16_t checksum_sum(const void* data, size_t length, uint32_t initial = 0);

// checksum_sum over a header of five or more 32-bit words.
inline uint16_t checksum_sum_words(const uint8_t* data, uint32_t words) {
  uint64_t sum = 0;
#pragma GCC unroll 5
  for (uint32_t i = 0; i < words; ++i) {
    uint32_t word;
    std::memcpy(&word, data + 4 * i, sizeof word);
    sum += word;
  }
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
}

// HC' = ~(~HC + ~m + m') for one 16-bit word; all three as they stand in memory.
inline uint16_t checksum_update16(uint16_t checksum, uint16_t old_word, uint16_t new_word) {
  uint32_t sum = static_cast<uint16_t>(~checksum);
  sum += static_cast<uint16_t>(~old_word);
  sum += new_word;
  sum = (sum & 0xffff) + (sum >> 16);
  sum += sum >> 16;
  return static_cast<uint16_t>(~sum);
}

// The same for a sum of any number of terms ~m + m', words of 16 or 32 bits, not folded. 0 changes nothing.
inline uint16_t checksum_add(uint16_t checksum, uint64_t terms) {
  uint64_t sum = static_cast<uint16_t>(~checksum) + terms;
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

inline uint16_t checksum_update32(uint16_t checksum, uint32_t old_word, uint32_t new_word) {
  checksum = checksum_update16(checksum, static_cast<uint16_t>(old_word), static_cast<uint16_t>(new_word));
  return checksum_update16(checksum, static_cast<uint16_t>(old_word >> 16),
                           static_cast<uint16_t>(new_word >> 16));
}

}  // namespace sluice
