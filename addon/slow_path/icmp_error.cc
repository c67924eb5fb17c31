// An ICMP error is translated by the packet that it quotes (RFC 5508 REQ-4 and REQ-5): the quoted packet was
// sent by the gateway the other way, so the rule that would carry its answer knows both tuples.
#include <algorithm>

#include "packet/checksum.h"
#include "slow_path/slow_path.h"

namespace sluice {
namespace {

constexpr uint32_t kQuotedTransportBytes = 8;  // RFC 792: at least the first 64 bits

// The packet inside an ICMP error, as far as it is there.
struct Quoted {
  uint8_t* ip = nullptr;
  uint8_t* transport = nullptr;
  uint32_t transport_bytes = 0;
  EmbeddedTuple tuple;
  uint8_t icmp_type = 0;
  bool later_fragment = false;
};

bool has_ports(uint8_t protocol) { return protocol == kProtocolTcp || protocol == kProtocolUdp; }

// kMalformed when less is quoted than RFC 792 demands, kBadChecksum by RFC 5508 REQ-3 a).
DropReason read_quoted(const Packet& packet, Quoted* quoted) {
  const LayerHeaders& layer = packet.layer();
  uint8_t* frame = packet.frame();
  const uint32_t begin = layer.l4 + kIcmpBytes;
  if (begin + kIpv4Bytes > layer.l3_end) return DropReason::kMalformed;
  quoted->ip = frame + begin;
  const uint32_t header = (quoted->ip[0] & 0x0fu) * 4;
  if (quoted->ip[0] >> 4 != 4 || header < kIpv4Bytes) return DropReason::kMalformed;
  // A datagram that carries less is quoted whole (RFC 792); what has ports or an identifier never does.
  const uint32_t total = load_be16(quoted->ip + kIpv4TotalLength);
  const uint8_t protocol = quoted->ip[kIpv4Protocol];
  const bool may_be_short = !has_ports(protocol) && protocol != kProtocolIcmp && total >= header;
  const uint32_t demanded =
      may_be_short ? std::min(kQuotedTransportBytes, total - header) : kQuotedTransportBytes;
  if (begin + header + demanded > layer.l3_end) return DropReason::kMalformed;
  if (checksum_sum(quoted->ip, header) != 0xffff) return DropReason::kBadChecksum;
  quoted->transport = quoted->ip + header;
  quoted->transport_bytes = layer.l3_end - begin - header;
  quoted->later_fragment = (load_be16(quoted->ip + kIpv4FragmentOffset) & kIpv4OffsetMask) != 0;
  EmbeddedTuple& tuple = quoted->tuple;
  tuple.protocol = quoted->ip[kIpv4Protocol];
  tuple.source = load_be32(quoted->ip + kIpv4Source);
  tuple.destination = load_be32(quoted->ip + kIpv4Destination);
  if (quoted->later_fragment) return DropReason::kNone;
  if (has_ports(tuple.protocol)) {
    tuple.source_port = load_be16(quoted->transport + kL4SourcePort);
    tuple.destination_port = load_be16(quoted->transport + kL4DestinationPort);
  } else if (tuple.protocol == kProtocolIcmp) {
    quoted->icmp_type = quoted->transport[kIcmpType];
    tuple.source_port = tuple.destination_port = load_be16(quoted->transport + kIcmpIdent);
  }
  return DropReason::kNone;
}

void repair(uint8_t* checksum, uint16_t old_word, uint16_t new_word) {
  store_raw(checksum, checksum_update16(load_raw<uint16_t>(checksum), old_word, new_word));
}

// Changes 16-bit words inside an ICMP message and keeps its checksum.
class QuotedEditor {
 public:
  explicit QuotedEditor(uint8_t* icmp_checksum) : icmp_checksum_(icmp_checksum) {}

  void set_word(uint8_t* field, uint16_t value) {
    repair(icmp_checksum_, load_raw<uint16_t>(field), value);
    store_raw(field, value);
  }
  // A word that `covering`, a checksum itself quoted, covers. Null: none does.
  void set_covered_word(uint8_t* field, uint16_t value, uint8_t* covering, bool zero_means_none) {
    if (covering != nullptr) {
      const uint16_t old = load_raw<uint16_t>(field);
      uint16_t updated = checksum_update16(load_raw<uint16_t>(covering), old, value);
      if (zero_means_none && updated == 0) updated = 0xffff;  // RFC 768
      set_word(covering, updated);
    }
    set_word(field, value);
  }

 private:
  uint8_t* icmp_checksum_;
};

// The quoted TCP, UDP or ICMP checksum, null when it is not quoted or stands for none.
uint8_t* quoted_checksum(const Quoted& quoted) {
  if (quoted.later_fragment) return nullptr;
  if (quoted.tuple.protocol == kProtocolTcp) {
    return quoted.transport_bytes >= kTcpChecksum + 2u ? quoted.transport + kTcpChecksum : nullptr;
  }
  if (quoted.tuple.protocol == kProtocolUdp) {
    uint8_t* checksum = quoted.transport + kUdpChecksum;
    return load_raw<uint16_t>(checksum) == 0 ? nullptr : checksum;
  }
  return nullptr;
}

void set_quoted_address(QuotedEditor& editor, const Quoted& quoted, uint16_t offset, uint32_t address) {
  const bool udp = quoted.tuple.protocol == kProtocolUdp;
  uint8_t address_be[4];
  store_be32(address_be, address);
  for (int half = 0; half < 4; half += 2) {
    uint8_t* field = quoted.ip + offset + half;
    const auto value = load_raw<uint16_t>(address_be + half);
    const auto old = load_raw<uint16_t>(field);
    // The pseudo-header of TCP and UDP holds the addresses; the word itself is changed once, for the IPv4
    // checksum.
    if (uint8_t* checksum = quoted_checksum(quoted)) {
      uint16_t updated = checksum_update16(load_raw<uint16_t>(checksum), old, value);
      if (udp && updated == 0) updated = 0xffff;
      editor.set_word(checksum, updated);
    }
    editor.set_covered_word(field, value, quoted.ip + kIpv4Checksum, false);
  }
}

void set_quoted_port(QuotedEditor& editor, const Quoted& quoted, uint16_t offset, uint16_t port) {
  const bool udp = quoted.tuple.protocol == kProtocolUdp;
  editor.set_covered_word(quoted.transport + offset, __builtin_bswap16(port), quoted_checksum(quoted), udp);
}

void set_address(uint8_t* ip, uint16_t offset, uint32_t address) {
  if (load_be32(ip + offset) == address) return;
  const auto old = load_raw<uint32_t>(ip + offset);
  store_be32(ip + offset, address);
  store_raw(ip + kIpv4Checksum,
            checksum_update32(load_raw<uint16_t>(ip + kIpv4Checksum), old, load_raw<uint32_t>(ip + offset)));
}

}  // namespace

// False: too little is quoted, and the error will be dropped.
bool SlowPath::quoted_tuple(const Packet& packet, EmbeddedTuple* tuple) {
  Quoted quoted;
  if (read_quoted(packet, &quoted) != DropReason::kNone) return false;
  *tuple = quoted.tuple;
  return true;
}

void SlowPath::receive_icmp_error(Packet& packet) {
  Quoted quoted;
  const DropReason reason = read_quoted(packet, &quoted);
  if (reason != DropReason::kNone) return drop(packet, reason);
  packet.icmp_error = true;
  FlowRule* rule = quoted.later_fragment ? nullptr : match_reversed(packet, quoted.tuple, quoted.icmp_type);
  if (rule == nullptr && options_.steering != nullptr && pass_on(packet)) return;
  // It is for the one who sent the quoted packet. Whether a router may speak in a VPC is for the NAT engine
  // to say, which knows the subnets.
  const bool addressed = packet.flow.destination == quoted.tuple.source;
  const bool vouched =
      packet.flow.vni == kNoVni || packet.flow.source == quoted.tuple.destination || packet.retried;
  if (rule == nullptr || !addressed || !vouched)
    return miss(packet, MissKind::kIcmpError, 0, 0, &quoted.tuple);

  const SessionRef session = sessions_.of(FlowEngine::tag(rule));
  // The quoted packet is one of the other direction as it went out: this rule turns it back, its ends
  // exchanged.
  RuleTuple back = {quoted.tuple.destination, quoted.tuple.source, quoted.tuple.destination_port,
                    quoted.tuple.source_port};
  engine_.translate(rule, &back);
  uint8_t* frame = packet.frame();
  QuotedEditor editor(frame + packet.layer().l4 + kIcmpChecksum);
  set_quoted_address(editor, quoted, kIpv4Source, back.destination);
  set_quoted_address(editor, quoted, kIpv4Destination, back.source);
  if (has_ports(quoted.tuple.protocol)) {
    set_quoted_port(editor, quoted, kL4SourcePort, back.destination_port);
    set_quoted_port(editor, quoted, kL4DestinationPort, back.source_port);
  } else if (quoted.tuple.protocol == kProtocolIcmp) {
    editor.set_covered_word(quoted.transport + kIcmpIdent, __builtin_bswap16(back.destination_port),
                            quoted.transport + kIcmpChecksum, false);
  }
  deliver_icmp_error(packet, rule, session);
}

// The addresses around the quoted packet, which each fragment of an error has. The error of a router on the
// way keeps its source, unless this direction hides the source of everything: its rule sets it.
void SlowPath::deliver_icmp_error(Packet& packet, FlowRule* rule, const SessionRef& session) {
  RuleTuple around = {load_be32(packet.ip() + kIpv4Source), load_be32(packet.ip() + kIpv4Destination)};
  engine_.translate(rule, &around);
  set_address(packet.ip(), kIpv4Destination, around.destination);
  set_address(packet.ip(), kIpv4Source, around.source);
  deliver(packet, rule, session);
}

// The rule for a packet that answers the quoted one: same outer headers, quoted tuple reversed.
FlowRule* SlowPath::match_reversed(const Packet& packet, const EmbeddedTuple& embedded,
                                   uint8_t embedded_icmp_type) {
  const LayerHeaders& layer = packet.layer();
  const uint32_t prefix = layer.l3;
  const uint32_t length = prefix + kIpv4Bytes + kTcpBytes;
  uint8_t* frame = rte_pktmbuf_mtod(scratch_, uint8_t*);
  std::memcpy(frame, packet.frame(), prefix);
  std::memset(frame + prefix, 0, length - prefix);
  scratch_->data_len = static_cast<uint16_t>(length);
  scratch_->pkt_len = length;

  uint8_t* ip = frame + prefix;
  ip[0] = 0x45;
  store_be16(ip + kIpv4TotalLength, kIpv4Bytes + kTcpBytes);
  ip[kIpv4Ttl] = 64;
  ip[kIpv4Protocol] = embedded.protocol;
  store_be32(ip + kIpv4Source, embedded.destination);
  store_be32(ip + kIpv4Destination, embedded.source);
  uint8_t* l4 = ip + kIpv4Bytes;
  if (has_ports(embedded.protocol)) {
    store_be16(l4 + kL4SourcePort, embedded.destination_port);
    store_be16(l4 + kL4DestinationPort, embedded.source_port);
  } else if (embedded.protocol == kProtocolIcmp) {
    if (embedded_icmp_type != kIcmpEchoRequest && embedded_icmp_type != kIcmpEchoReply) return nullptr;
    l4[kIcmpType] = embedded_icmp_type == kIcmpEchoRequest ? kIcmpEchoReply : kIcmpEchoRequest;
    store_be16(l4 + kIcmpIdent, embedded.source_port);
  }

  PacketContext context = packet.context;
  context.mbuf = scratch_;
  LayerHeaders& reversed = context.headers.has_inner ? context.headers.inner : context.headers.outer;
  reversed.l4 = static_cast<uint16_t>(prefix + kIpv4Bytes);
  reversed.l3_end = static_cast<uint16_t>(length);
  reversed.protocol = embedded.protocol;
  reversed.fragment = false;
  reversed.later_fragment = false;
  const bool known = has_ports(embedded.protocol) || embedded.protocol == kProtocolIcmp;
  if (!known) reversed.l4 = kAbsent;
  return engine_.match(context, 0);
}

}  // namespace sluice
