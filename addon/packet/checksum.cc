#include "packet/checksum.h"

#include <cstring>

namespace sluice {

uint16_t checksum_sum(const void* data, size_t length, uint32_t initial) {
  // RFC 1071 section 2: the sum does not depend on word size or byte order, so eight bytes are added at a
  // time and the carries folded at the end. A sum of 2^32 words of 32 bits fits 64 bits: no frame comes near.
  const auto* p = static_cast<const uint8_t*>(data);
  uint64_t sum = initial;
  while (length >= 8) {
    uint32_t words[2];
    std::memcpy(words, p, 8);
    sum += words[0];
    sum += words[1];
    p += 8;
    length -= 8;
  }
  while (length >= 2) {
    uint16_t word;
    std::memcpy(&word, p, 2);
    sum += word;
    p += 2;
    length -= 2;
  }
  if (length != 0) {
    uint16_t word = 0;
    std::memcpy(&word, p, 1);  // the missing byte counts as zero, in memory order
    sum += word;
  }
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

}  // namespace sluice
