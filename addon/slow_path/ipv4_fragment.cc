// Results above the egress MTU with DF clear: the packet is cut into fragments as it came in (RFC 791
// section 3.2), and each is translated for itself, so that every piece fits after encapsulation.
#include <algorithm>

#include "packet/checksum.h"
#include "slow_path/slow_path.h"

namespace sluice {
namespace {

constexpr uint32_t kMaxIpv4HeaderBytes = 60;
constexpr uint8_t kOptionCopied = 0x80;  // RFC 791 section 3.1: the option goes into every fragment
constexpr uint8_t kOptionEnd = 0, kOptionNoOperation = 1;

// Header of the fragments after the first: options without the copied flag are left out. Returns its length.
uint32_t later_header(const uint8_t* ip, uint32_t header_bytes, uint8_t* out) {
  std::memcpy(out, ip, kIpv4Bytes);
  uint32_t length = kIpv4Bytes;
  for (uint32_t at = kIpv4Bytes; at < header_bytes && ip[at] != kOptionEnd;) {
    if (ip[at] == kOptionNoOperation) {
      at++;
      continue;
    }
    const uint32_t option_bytes = at + 1 < header_bytes ? ip[at + 1] : 0;
    if (option_bytes < 2 || at + option_bytes > header_bytes) break;
    if ((ip[at] & kOptionCopied) != 0) {
      std::memcpy(out + length, ip + at, option_bytes);
      length += option_bytes;
    }
    at += option_bytes;
  }
  while (length % 4 != 0) out[length++] = kOptionEnd;
  out[0] = static_cast<uint8_t>(0x40 | length / 4);
  return length;
}

void finish_header(uint8_t* ip, uint32_t header_bytes, uint32_t total_length, uint16_t fragment_field) {
  store_be16(ip + kIpv4TotalLength, static_cast<uint16_t>(total_length));
  store_be16(ip + kIpv4FragmentOffset, fragment_field);
  store_raw<uint16_t>(ip + kIpv4Checksum, 0);
  store_raw(ip + kIpv4Checksum, static_cast<uint16_t>(~checksum_sum(ip, header_bytes)));
}

// Lengths of the VXLAN envelope around a piece; it is taken off at once, so that its checksum does not
// matter.
void resize_envelope(uint8_t* frame, const ParsedPacket& headers, uint32_t frame_bytes) {
  if (!headers.has_inner) return;
  store_be16(frame + headers.outer.l3 + kIpv4TotalLength,
             static_cast<uint16_t>(frame_bytes - headers.outer.l3));
  store_be16(frame + headers.outer.l4 + kUdpLength, static_cast<uint16_t>(frame_bytes - headers.outer.l4));
}

}  // namespace

// False when nothing was sent: the frame is the caller's to drop.
bool SlowPath::send_in_pieces(Packet& packet, FlowRule* rule, uint32_t limit) {
  const uint8_t* frame = packet.frame();
  const LayerHeaders& layer = packet.layer();
  const uint8_t* ip = packet.ip();
  const uint32_t prefix = layer.l3;
  const uint32_t first_header = packet.ip_header_bytes();
  const uint32_t payload = packet.total_length - first_header;
  const uint16_t original_field = load_be16(ip + kIpv4FragmentOffset);
  const uint32_t original_offset = original_field & kIpv4OffsetMask;
  uint8_t later[kMaxIpv4HeaderBytes];
  const uint32_t later_bytes = later_header(ip, first_header, later);

  // The first piece must hold the transport header whole, or its ports and checksum could not be translated.
  const uint32_t first_room = limit > first_header ? (limit - first_header) & ~7u : 0;
  if (first_room < kTcpBytes) return false;

  const ApplyScope scope = packet.icmp_error ? ApplyScope::kNoTranslation : ApplyScope::kAll;
  bool sent = false;
  for (uint32_t done = 0; done < payload;) {
    const bool first = done == 0;
    const uint32_t header = first ? first_header : later_bytes;
    const uint32_t room = first ? first_room : (limit - later_bytes) & ~7u;
    const bool last = payload - done <= (first ? limit - first_header : limit - later_bytes);
    const uint32_t bytes = last ? payload - done : std::min(room, payload - done);
    const uint32_t frame_bytes = prefix + header + bytes;
    rte_mbuf* piece = new_frame(frame_bytes);
    if (piece == nullptr) {
      // Without the rest the datagram is lost; what was sent of it the receiver times out.
      count_drop(DropReason::kQueueFull);
      break;
    }
    uint8_t* out = rte_pktmbuf_mtod(piece, uint8_t*);
    std::memcpy(out, frame, prefix);
    std::memcpy(out + prefix, first ? ip : later, header);
    std::memcpy(out + prefix + header, ip + first_header + done, bytes);
    const bool more = !last || (original_field & kIpv4MoreFragments) != 0;
    const auto field = static_cast<uint16_t>((original_offset + done / 8) | (more ? kIpv4MoreFragments : 0));
    finish_header(out + prefix, header, header + bytes, field);
    resize_envelope(out, packet.context.headers, frame_bytes);

    Packet fragment = packet;
    fragment.context.mbuf = piece;
    ParsedPacket& headers = fragment.context.headers;
    LayerHeaders& piece_layer = headers.has_inner ? headers.inner : headers.outer;
    piece_layer.l3_end = static_cast<uint16_t>(frame_bytes);
    if (headers.has_inner) headers.outer.l3_end = static_cast<uint16_t>(frame_bytes);
    piece_layer.fragment = true;
    piece_layer.later_fragment = (field & kIpv4OffsetMask) != 0;
    if (piece_layer.later_fragment) piece_layer.l4 = kAbsent;
    if (options_.replay) fields_.stamp(piece) = packet.stamp;
    if (!apply_and_transmit(fragment, rule, scope)) {
      rte_pktmbuf_free(piece);
      if (!sent) return false;
      break;
    }
    sent = true;
    done += bytes;
  }
  rte_pktmbuf_free(packet.context.mbuf);
  packet.context.mbuf = nullptr;
  return true;
}

}  // namespace sluice
