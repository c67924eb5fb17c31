#include "any_frame.h"

#include "packet/wire.h"

namespace fuzz {

using namespace sluice;
using namespace sluice::test;

namespace {

// Extension headers of IPv6 before `next` (RFC 8200 section 4, RFC 4302 section 2.2): none, a fragment's, two
// that say how long they are, an authentication header.
Bytes extended(uint8_t way, uint8_t fragment, uint8_t* next, const Bytes& payload) {
  Bytes headers;
  switch (way) {
    case 0: return payload;
    case 1:
      headers = {*next, 0, fragment, static_cast<uint8_t>(fragment & 1), 0, 0, 0, 1};
      *next = 44;
      break;
    case 2:
      headers = {60, 0, 1, 4, 0, 0, 0, 0, *next, 1, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
      *next = fragment & 1 ? 43 : 0;
      break;
    default: headers = {*next, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}; *next = 51;
  }
  headers.insert(headers.end(), payload.begin(), payload.end());
  return headers;
}

}  // namespace

void change_bytes(Input& in, Bytes* frame) {
  for (uint8_t count = in.byte() & 3; count != 0 && !frame->empty(); --count) {
    const size_t at = in.byte() % frame->size();
    (*frame)[at] = in.byte();
  }
}

Bytes any_frame(Input& in) {
  const uint8_t kind = in.byte(), more = in.byte();
  Bytes own(in.byte());
  in.fill(own.data(), own.size());
  if ((kind & 7) == 7) return own;
  if (more >= 0xfe) own.resize(more == 0xff ? 65'200 : 65'450);  // nearly as long as an IPv4 packet can be
  const bool v6 = (kind & 0x40) != 0;
  Bytes l4 = (kind & 3) == 0   ? udp(in.byte(), in.byte(), own, (kind & 4) == 0)
             : (kind & 3) == 1 ? tcp(in.byte(), in.byte(), own, in.byte())
             : (kind & 3) == 2 ? icmp_echo(in.byte(), in.byte(), own)
                               : own;
  Ipv4 header;
  header.protocol = static_cast<uint8_t>((kind & 3) == 0 ? 17 : (kind & 3) == 1 ? 6 : v6 ? 58 : 1);
  header.ttl = in.byte();
  header.fragment = (kind & 0x18) == 0x18 ? static_cast<uint16_t>(in.byte() << 8) : 0;
  header.source = 0x0a000000u + in.byte();
  header.options = Bytes((kind & 0x60) == 0x20 ? 8 : 0);
  uint8_t next = header.protocol;
  if (v6) l4 = extended(more & 3, static_cast<uint8_t>(header.fragment >> 8), &next, l4);
  const Bytes packet = v6 ? ipv6(next, l4, header.ttl) : ipv4(header, l4);
  std::vector<uint16_t> tags((kind & 0x18) == 0x08 ? in.byte() % 4 : 0, 5);
  Bytes whole = ethernet(v6 ? 0x86dd : 0x0800, packet, tags);
  if (!tags.empty() && (more & 4) != 0) store_be16(&whole[12], kEtherTypeQinq);
  if ((more & 8) != 0) whole.resize(whole.size() + (more >> 4));  // what pads a short frame
  if ((kind & 0x80) != 0) {
    whole = tunnel(in.byte(), whole);
    if ((more & 0x20) != 0)
      whole[kEthernetBytes + kIpv4Bytes + kUdpChecksum] = 1;  // an outer checksum, though a wrong one
    if ((more & 0x40) != 0) whole.push_back(0);
  }
  whole.resize(std::min<size_t>(whole.size(), 65'500));
  change_bytes(in, &whole);
  return whole;
}

}  // namespace fuzz
