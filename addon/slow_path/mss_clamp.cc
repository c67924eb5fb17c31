// The maximum segment size that a SYN offers is lowered to what the ways behind the gateway carry (RFC 9293
// section 3.7.1). SYNs always come to software, so that this needs no NIC.
#include "packet/checksum.h"
#include "slow_path/slow_path.h"

namespace sluice {
namespace {

constexpr uint8_t kOptionEnd = 0, kOptionNoOperation = 1, kOptionMss = 2;
constexpr uint8_t kMssOptionBytes = 4;

// Stores a 16-bit value at any offset of a TCP header, one that straddles two checksummed words too.
void replace_word(uint8_t* tcp, uint32_t at, uint16_t value) {
  const uint32_t first = at & ~1u;
  const uint32_t end = (at + 3) & ~1u;
  uint16_t checksum = load_raw<uint16_t>(tcp + kTcpChecksum);
  for (uint32_t word = first; word < end; word += 2) {
    const auto old = load_raw<uint16_t>(tcp + word);
    for (uint32_t byte = word; byte < word + 2; byte++) {
      if (byte == at) tcp[byte] = static_cast<uint8_t>(value >> 8);
      if (byte == at + 1) tcp[byte] = static_cast<uint8_t>(value);
    }
    checksum = checksum_update16(checksum, old, load_raw<uint16_t>(tcp + word));
  }
  store_raw(tcp + kTcpChecksum, checksum);
}

}  // namespace

void SlowPath::clamp_mss(Packet& packet) {
  if (packet.flow.protocol != kProtocolTcp || !has(packet.tcp_flags, TcpFlag::kSyn) ||
      packet.later_fragment())
    return;
  uint8_t* tcp = packet.frame() + packet.layer().l4;
  const uint32_t header = (tcp[kTcpDataOffset] >> 4) * 4u;  // inside the packet: the parser saw to that
  for (uint32_t at = kTcpBytes; at + 1 < header;) {
    if (tcp[at] == kOptionEnd) return;
    if (tcp[at] == kOptionNoOperation) {
      at++;
      continue;
    }
    const uint8_t bytes = tcp[at + 1];
    if (bytes < 2 || at + bytes > header) return;
    if (tcp[at] == kOptionMss && bytes == kMssOptionBytes) {
      if (load_be16(tcp + at + 2) > options_.mss_clamp) replace_word(tcp, at + 2, options_.mss_clamp);
      return;
    }
    at += bytes;
  }
}

}  // namespace sluice
