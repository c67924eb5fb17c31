#include "reference_packet.h"

#include <cstring>

namespace sluice::test::reference {

uint32_t number(const uint8_t* p, int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | p[i];
  return value;
}
void put(uint8_t* p, int bytes, uint64_t value) {
  for (int i = bytes; i-- > 0; value >>= 8) p[i] = static_cast<uint8_t>(value);
}

bool has_vxlan_port(const Bytes& frame, size_t udp) { return number(&frame[udp + 2], 2) == 4789; }

std::vector<Header> headers_of(const Packet& packet, bool look) {
  const Bytes& frame = packet.bytes;
  std::vector<Header> found;
  size_t at = 0, end = frame.size();
  for (int level = 0; level < 2; ++level) {
    if (at + 14 > end) return found;
    found.push_back({Kind::kEth, at, level});
    uint32_t type = number(&frame[at + 12], 2);
    at += 14;
    while (type == 0x8100 || type == 0x88a8) {
      if (at + 4 > end) return found;
      found.push_back({Kind::kVlan, at, level});
      type = number(&frame[at + 2], 2);
      at += 4;
    }
    uint8_t next;
    bool fragment = false;
    if (type == 0x0800) {
      if (at + 20 > end || frame[at] >> 4 != 4) return found;
      const size_t header = (frame[at] & 15u) * 4, total = number(&frame[at + 2], 2);
      if (header < 20 || total < header || at + total > end) return found;
      found.push_back({Kind::kIpv4, at, level, at + total});
      end = at + total;
      next = frame[at + 9];
      fragment = (number(&frame[at + 6], 2) & 0x3fff) != 0;
      found.back().fragment = fragment;
      at += header;
    } else if (type == 0x86dd) {
      if (at + 40 > end || frame[at] >> 4 != 6) return found;
      const size_t total = 40 + number(&frame[at + 4], 2);
      if (at + total > end) return found;
      found.push_back({Kind::kIpv6, at, level, at + total});
      end = at + total;
      next = frame[at + 6];
      at += 40;
      if (next == 44) {  // RFC 8200 section 4.5
        if (at + 8 > end) return found;
        found.back().fragment = fragment = true;
      }
    } else {
      return found;
    }
    if (fragment) return found;
    if (next == 6 && at + 20 <= end) {
      const size_t header = (frame[at + 12] >> 4) * 4u;
      if (header >= 20 && at + header <= end) found.push_back({Kind::kTcp, at, level});
    }
    if (next == 58 && type == 0x86dd && at + 8 <= end) found.push_back({Kind::kIcmp6, at, level});
    if (next == 1 && type == 0x0800 && at + 8 <= end) found.push_back({Kind::kIcmp, at, level});
    if (next != 17 || at + 8 > end) return found;
    const size_t datagram = number(&frame[at + 4], 2);
    if (datagram < 8 || at + datagram > end) return found;
    found.push_back({Kind::kUdp, at, level});
    if (level == 1 || !(look ? has_vxlan_port(frame, at) : packet.tunnel)) return found;
    end = at + datagram;
    at += 8;
    if (at + 8 > end || (frame[at] & 8) == 0) return found;
    found.push_back({Kind::kVxlan, at, level});
    at += 8;
  }
  return found;
}

bool is_tunnel(const Packet& packet) {
  for (const Header& header : headers_of(packet, true)) {
    if (header.kind == Kind::kVxlan) return true;
  }
  return false;
}

const Header* first(const std::vector<Header>& headers, Kind kind, int level) {
  for (const Header& header : headers) {
    if (header.kind == kind && header.level == level) return &header;
  }
  return nullptr;
}

uint32_t ones_sum(const Bytes& bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? bytes[i] << 8 : bytes[i];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint32_t>(sum);
}

// The checksum fields of a frame with what they say too much: 0 for a right one. Rewriting must keep the
// difference.
struct Checksum {
  size_t field;
  Bytes covered;
  bool is_udp;
};

std::vector<Checksum> checksums_of(const Packet& packet) {
  const Bytes& frame = packet.bytes;
  std::vector<Checksum> found;
  const auto add_transport = [&](size_t l4, size_t end, uint8_t protocol, const Bytes& addresses) {
    const size_t offset = protocol == 6 ? 16 : protocol == 17 ? 6 : protocol == 1 || protocol == 58 ? 2 : 0;
    const size_t needed = protocol == 6 ? 18 : 8;
    if (offset == 0 || l4 + needed > end) return;
    if (protocol == 17 && number(&frame[l4 + 6], 2) == 0) return;
    Bytes message(frame.begin() + static_cast<long>(l4), frame.begin() + static_cast<long>(end));
    message[offset] = message[offset + 1] = 0;
    if (message.size() % 2 == 1) message.push_back(0);
    if (protocol != 1) {  // the pseudo-header; its length never changes, so it need not be in the sum
      message.insert(message.end(), addresses.begin(), addresses.end());
      message.insert(message.end(), {0, protocol});
    }
    found.push_back({l4 + offset, message, protocol == 17});
  };
  for (const Header& header : headers_of(packet)) {
    if (header.kind == Kind::kIpv6) {
      uint8_t next = frame[header.at + 6];
      size_t at = header.at + 40;
      if (next == 44) {
        if (at + 8 > header.end || number(&frame[at + 2], 2) >> 3 != 0) continue;
        next = frame[at];
        at += 8;
      }
      if (next == 1) continue;  // ICMP for IPv4 has no business here
      add_transport(at, header.end, next,
                    Bytes(frame.begin() + static_cast<long>(header.at + 8),
                          frame.begin() + static_cast<long>(header.at + 40)));
    }
    if (header.kind != Kind::kIpv4) continue;
    const size_t ip = header.at, bytes = (frame[ip] & 15u) * 4;
    Bytes covered(frame.begin() + static_cast<long>(ip), frame.begin() + static_cast<long>(ip + bytes));
    covered[10] = covered[11] = 0;
    found.push_back({ip + 10, covered, false});
    const uint32_t fragment = number(&frame[ip + 6], 2) & 0x1fff;
    const uint8_t protocol = frame[ip + 9];
    if (fragment != 0 || protocol == 58) continue;
    add_transport(
        ip + bytes, header.end, protocol,
        Bytes(frame.begin() + static_cast<long>(ip + 12), frame.begin() + static_cast<long>(ip + 20)));
  }
  return found;
}

void with_checksums(Packet* packet, const std::function<void()>& change) {
  Bytes* frame = &packet->bytes;
  const std::vector<Checksum> before = checksums_of(*packet);
  std::vector<uint32_t> excess;
  for (const Checksum& checksum : before) {
    excess.push_back((number(&(*frame)[checksum.field], 2) + ones_sum(checksum.covered)) % 0xffff);
  }
  change();
  // From the inside out: an outer UDP checksum covers the inner ones.
  for (size_t i = before.size(); i-- > 0;) {
    const std::vector<Checksum> after = checksums_of(*packet);
    if (i >= after.size()) continue;
    uint32_t value = (excess[i] + 2 * 0xffff - ones_sum(after[i].covered) % 0xffff) % 0xffff;
    if (after[i].is_udp && value == 0) value = 0xffff;
    put(&(*frame)[after[i].field], 2, value);
  }
}

}  // namespace sluice::test::reference
