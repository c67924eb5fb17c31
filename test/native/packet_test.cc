#include <cstring>

#include "packet/checksum.h"
#include "packet/parse.h"
#include "packet/rewrite.h"
#include "packet/wire.h"
#include "support.h"

namespace sluice::test {
namespace {

std::vector<Bytes> fixtures() {
  const Bytes payload = {'h', 'e', 'l', 'l', 'o'};
  Ipv4 plain, tcp_header, icmp_header, first, later, options;
  tcp_header.protocol = 6;
  icmp_header.protocol = 1;
  first.fragment = 0x2000;
  later.fragment = 0x0010;
  options.options = Bytes(12, 1);
  const Bytes inner = ethernet(kEtherTypeIpv4, ipv4(tcp_header, tcp(1000, 80, payload)));
  Bytes bad_flag = tunnel(100, inner);
  bad_flag[42] = 0;
  Bytes hop_by_hop(8);
  hop_by_hop[0] = 17;
  Bytes with_extension = hop_by_hop;
  const Bytes datagram = udp(1, 2, payload);
  with_extension.insert(with_extension.end(), datagram.begin(), datagram.end());
  Bytes fragment6(8);
  fragment6[0] = 17;
  fragment6[3] = 1;
  return {
      ethernet(kEtherTypeIpv4, ipv4(plain, udp(1000, 53, payload))),
      ethernet(kEtherTypeIpv4, ipv4(tcp_header, tcp(1000, 80, payload)), {5}),
      ethernet(kEtherTypeIpv4, ipv4(icmp_header, icmp_echo(8, 7, payload)), {5, 6, 7}),
      ethernet(kEtherTypeIpv4, ipv4(first, udp(1000, 53, Bytes(16, 1)))),
      ethernet(kEtherTypeIpv4, ipv4(later, Bytes(24, 2))),
      ethernet(kEtherTypeIpv4, ipv4(options, udp(1000, 53, payload))),
      ethernet(kEtherTypeIpv6, ipv6(17, datagram)),
      ethernet(kEtherTypeIpv6, ipv6(0, with_extension)),
      ethernet(kEtherTypeIpv6, ipv6(44, fragment6)),
      tunnel(100, inner),
      tunnel(100, ethernet(kEtherTypeIpv4, ipv4(plain, udp(1000, 53, payload)), {9})),
      tunnel(100, tunnel(200, inner)),
      tunnel(100, Bytes{1, 2, 3}),
      tunnel(100, arp()),
      bad_flag,
      arp(),
      Bytes(14, 0xff),
  };
}

// Every offset that is set lies where its header fits into the frame.
void check_bounds(const Bytes& frame, const ParsedPacket& packet) {
  const auto fits = [&](uint16_t offset, uint32_t bytes) {
    return offset == kAbsent || offset + bytes <= frame.size();
  };
  for (const LayerHeaders* layer : {&packet.outer, &packet.inner}) {
    CHECK(fits(layer->eth, 14));
    CHECK(fits(layer->vlan, 4));
    CHECK(fits(layer->l3, layer->l3_kind == L3::kIpv6 ? 40 : 20));
    CHECK(fits(layer->l3_end, 0));
    CHECK(fits(layer->l4, layer->protocol == 6 ? 20 : 8));
    CHECK((layer->l3 == kAbsent) == (layer->l3_kind == L3::kNone));
    CHECK((layer->l3 == kAbsent) == (layer->l3_end == kAbsent));
  }
  CHECK(fits(packet.vxlan, 8));
  CHECK(packet.has_inner == (packet.inner.eth != kAbsent));
}

// From a copy of exactly this size, so that reading one byte too far is a fault a sanitizer sees.
ParsedPacket parse_exactly(const Bytes& frame, size_t length, const ParseOptions& options) {
  const std::unique_ptr<uint8_t[]> copy(new uint8_t[length]);
  std::memcpy(copy.get(), frame.data(), length);
  ParsedPacket packet;
  parse(copy.get(), static_cast<uint32_t>(length), options, &packet);
  check_bounds(Bytes(frame.begin(), frame.begin() + static_cast<long>(length)), packet);
  return packet;
}

TEST(every_prefix_of_every_fixture_is_parsed_within_its_bytes) {
  for (const Bytes& frame : fixtures()) {
    for (size_t length = 0; length <= frame.size(); ++length) {
      for (const bool first : {false, true}) {
        for (const bool verify : {false, true}) {
          ParseOptions options;
          options.l4_of_first_fragment = first;
          options.verify_ipv4_checksum = verify;
          parse_exactly(frame, length, options);
        }
      }
    }
  }
}

TEST(random_bytes_are_parsed_within_their_bounds) {
  std::mt19937 random(1);
  const std::vector<Bytes> frames = fixtures();
  for (int round = 0; round < 200000; ++round) {
    Bytes frame = frames[random() % frames.size()];
    for (unsigned changes = random() % 4; changes != 0; --changes) {
      frame[random() % frame.size()] = static_cast<uint8_t>(random());
    }
    parse_exactly(frame, random() % (frame.size() + 1), ParseOptions{});
  }
}

TEST(a_tunnelled_packet_shows_both_layers) {
  Ipv4 header;
  header.protocol = 6;
  const Bytes frame = tunnel(100, ethernet(kEtherTypeIpv4, ipv4(header, tcp(1000, 80, {1, 2, 3}))));
  const ParsedPacket packet = parse_exactly(frame, frame.size(), ParseOptions{});
  CHECK_EQ(packet.outer.l3, 14);
  CHECK_EQ(packet.outer.l4, 34);
  CHECK_EQ(packet.vxlan, 42);
  CHECK(packet.has_inner);
  CHECK_EQ(packet.inner.eth, 50);
  CHECK_EQ(packet.inner.l3, 64);
  CHECK_EQ(packet.inner.l4, 84);
  CHECK_EQ(packet.inner.l3_end, 107);
  CHECK_EQ(packet.outer.l3_end, 107);
  CHECK_EQ(packet.fault, ParseFault::kNone);
}

TEST(a_cut_off_inner_packet_is_a_fault_of_the_inner_layer) {
  Bytes frame = tunnel(100, ethernet(kEtherTypeIpv4, ipv4(Ipv4{}, udp(1, 2, {}))));
  store_be16(&frame[66], 200);  // inner total length
  const ParsedPacket packet = parse_exactly(frame, frame.size(), ParseOptions{});
  CHECK_EQ(packet.fault, ParseFault::kTruncatedL3);
  CHECK(packet.fault_in_inner);
  CHECK_EQ(packet.inner.l3, kAbsent);
  CHECK_EQ(packet.outer.l4, 34);
}

TEST(a_total_length_beyond_the_frame_is_truncated_and_one_below_the_header_is_bad) {
  Bytes frame = ethernet(kEtherTypeIpv4, ipv4(Ipv4{}, udp(1, 2, {})));
  store_be16(&frame[16], 60);
  CHECK_EQ(parse_exactly(frame, frame.size(), ParseOptions{}).fault, ParseFault::kTruncatedL3);
  store_be16(&frame[16], 19);
  CHECK_EQ(parse_exactly(frame, frame.size(), ParseOptions{}).fault, ParseFault::kBadL3);
}

TEST(a_clear_i_flag_is_bad_vxlan) {
  Bytes frame = tunnel(1, arp());
  frame[42] = 0;
  const ParsedPacket packet = parse_exactly(frame, frame.size(), ParseOptions{});
  CHECK_EQ(packet.fault, ParseFault::kBadVxlan);
  CHECK_EQ(packet.vxlan, kAbsent);
}

TEST(l4_of_a_first_fragment_is_there_only_when_asked_for) {
  Ipv4 header;
  header.fragment = 0x2000;
  const Bytes frame = ethernet(kEtherTypeIpv4, ipv4(header, udp(1, 2, Bytes(8))));
  ParseOptions options;
  CHECK_EQ(parse_exactly(frame, frame.size(), options).outer.l4, kAbsent);
  options.l4_of_first_fragment = true;
  CHECK_EQ(parse_exactly(frame, frame.size(), options).outer.l4, 34);
}

TEST(a_later_fragment_never_has_l4) {
  Ipv4 header;
  header.fragment = 0x0005;
  const Bytes frame = ethernet(kEtherTypeIpv4, ipv4(header, udp(1, 4789, Bytes(40))));
  ParseOptions options;
  options.l4_of_first_fragment = true;
  const ParsedPacket packet = parse_exactly(frame, frame.size(), options);
  CHECK_EQ(packet.outer.l4, kAbsent);
  CHECK(packet.outer.later_fragment);
  CHECK_EQ(packet.vxlan, kAbsent);
}

TEST(a_wrong_ipv4_checksum_is_seen_when_asked_for) {
  Bytes frame = ethernet(kEtherTypeIpv4, ipv4(Ipv4{}, udp(1, 2, {})));
  ParseOptions options;
  options.verify_ipv4_checksum = true;
  CHECK(!parse_exactly(frame, frame.size(), options).outer.ipv4_checksum_bad);
  frame[24] ^= 1;
  CHECK(parse_exactly(frame, frame.size(), options).outer.ipv4_checksum_bad);
}

TEST(checksum_sum_equals_the_sum_of_its_words_at_every_length_and_alignment) {
  std::mt19937 random(2);
  for (int round = 0; round < 20000; ++round) {
    uint8_t bytes[128];
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() % 3 == 0 ? 0xff : random());
    const size_t start = random() % 8, length = random() % 100;
    uint64_t sum = 0;
    for (size_t i = 0; i < length; ++i)
      sum += i % 2 == 0 ? bytes[start + i] : static_cast<uint64_t>(bytes[start + i]) << 8;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    const uint16_t got = checksum_sum(bytes + start, length);
    CHECK(got == sum || (got == 0xffff && sum == 0));
  }
}

// RFC 1624's promise, for every rewrite, on every kind of packet, right and wrong checksums alike.
TEST(incremental_checksums_equal_full_ones) {
  std::mt19937 random(3);
  for (int round = 0; round < 60000; ++round) {
    Ipv4 header;
    header.protocol = round % 3 == 0 ? 6 : round % 3 == 1 ? 17 : 1;
    header.source = random();
    header.ttl = static_cast<uint8_t>(random());
    if (random() % 8 == 0) header.options = Bytes(8, 1);
    Bytes payload(random() % 32);
    for (uint8_t& byte : payload) byte = static_cast<uint8_t>(random());
    const Bytes l4 = header.protocol == 6 ? tcp(static_cast<uint16_t>(random()), 80, payload)
                     : header.protocol == 17
                         ? udp(static_cast<uint16_t>(random()), 53, payload, random() % 4 != 0)
                         : icmp_echo(8, static_cast<uint16_t>(random()), payload);
    Bytes frame = ethernet(kEtherTypeIpv4, ipv4(header, l4));
    CHECK(checksums_are_right(frame));
    ParsedPacket packet;
    parse(frame.data(), static_cast<uint32_t>(frame.size()), ParseOptions{}, &packet);
    const auto which = random() % 2 == 0 ? Direction::kSource : Direction::kDestination;
    switch (random() % 7) {
      case 0: set_ipv4_address(frame.data(), packet.outer, which, static_cast<uint32_t>(random())); break;
      case 1: set_tp_port(frame.data(), packet.outer, which, static_cast<uint16_t>(random())); break;
      case 2: dec_ttl(frame.data(), packet.outer); break;
      case 3: set_ttl(frame.data(), packet.outer, static_cast<uint8_t>(random())); break;
      case 4: set_ipv4_dscp(frame.data(), packet.outer, random() % 64); break;
      case 5: set_icmp_ident(frame.data(), packet.outer, static_cast<uint16_t>(random())); break;
      default:
        set_ipv4_address(frame.data(), packet.outer, which, static_cast<uint32_t>(random()));
        set_tp_port(frame.data(), packet.outer, which, static_cast<uint16_t>(random()));
        break;
    }
    CHECK(checksums_are_right(frame));
  }
}

TEST(a_udp_checksum_of_zero_stays_zero) {
  Bytes frame = ethernet(kEtherTypeIpv4, ipv4(Ipv4{}, udp(1000, 53, {1, 2, 3}, false)));
  ParsedPacket packet;
  parse(frame.data(), static_cast<uint32_t>(frame.size()), ParseOptions{}, &packet);
  set_ipv4_address(frame.data(), packet.outer, Direction::kSource, 0x01020304);
  set_tp_port(frame.data(), packet.outer, Direction::kSource, 77);
  CHECK_EQ(load_be16(&frame[40]), 0);
}

TEST(a_udp_checksum_that_becomes_zero_is_sent_as_all_ones) {
  Bytes frame = ethernet(kEtherTypeIpv4, ipv4(Ipv4{}, udp(1000, 53, {1, 2, 3, 4})));
  ParsedPacket packet;
  parse(frame.data(), static_cast<uint32_t>(frame.size()), ParseOptions{}, &packet);
  int zeros = 0;
  for (uint32_t port = 0; port < 65536; ++port) {
    Bytes changed = frame;
    set_tp_port(changed.data(), packet.outer, Direction::kSource, static_cast<uint16_t>(port));
    CHECK(load_be16(&changed[40]) != 0);
    zeros += load_be16(&changed[40]) == 0xffff;
  }
  CHECK(zeros >= 1);
}

TEST(a_wrong_checksum_stays_wrong) {
  Bytes frame = ethernet(kEtherTypeIpv4, ipv4(Ipv4{}, udp(1000, 53, {1, 2, 3})));
  frame[41] ^= 0x10;
  ParsedPacket packet;
  parse(frame.data(), static_cast<uint32_t>(frame.size()), ParseOptions{}, &packet);
  set_ipv4_address(frame.data(), packet.outer, Direction::kSource, 0x01020304);
  CHECK(!checksums_are_right(frame));
}

TEST(a_ttl_of_zero_stays_zero) {
  Ipv4 header;
  header.ttl = 1;
  Bytes frame = ethernet(kEtherTypeIpv4, ipv4(header, udp(1, 2, {})));
  ParsedPacket packet;
  parse(frame.data(), static_cast<uint32_t>(frame.size()), ParseOptions{}, &packet);
  dec_ttl(frame.data(), packet.outer);
  CHECK_EQ(frame[22], 0);
  dec_ttl(frame.data(), packet.outer);
  CHECK_EQ(frame[22], 0);
  CHECK(checksums_are_right(frame));
}

TEST(a_first_fragments_checksum_follows_its_address_even_without_l4) {
  Ipv4 header;
  const Bytes whole = ethernet(kEtherTypeIpv4, ipv4(header, udp(1000, 53, Bytes(16, 9))));
  Bytes fragment = whole;
  fragment[20] = 0x20;
  for (Bytes* frame : {&fragment}) {
    ParsedPacket packet;
    parse(frame->data(), static_cast<uint32_t>(frame->size()), ParseOptions{}, &packet);
    CHECK_EQ(packet.outer.l4, kAbsent);
    set_ipv4_address(frame->data(), packet.outer, Direction::kSource, 0x01020304);
    set_tp_port(frame->data(), packet.outer, Direction::kSource, 1);
  }
  Bytes expected = whole;
  ParsedPacket packet;
  parse(expected.data(), static_cast<uint32_t>(expected.size()), ParseOptions{}, &packet);
  set_ipv4_address(expected.data(), packet.outer, Direction::kSource, 0x01020304);
  CHECK_EQ(load_be16(&fragment[40]), load_be16(&expected[40]));
  CHECK_EQ(load_be16(&fragment[34]), load_be16(&expected[34]));
}

}  // namespace
}  // namespace sluice::test
