// The bound of net_softflow with resident rules. Each packet is parsed, a bucket and then the two lines of a row are
// asked for, a burst at a time as the driver does it, and the row says what to write; which row is known beforehand.
#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include <cstring>
#include <vector>

#include "bench/node/resident_rules.h"
#include "bench/shapes.h"
#include "flow_engine/memory.h"
#include "packet/checksum.h"
#include "packet/rewrite.h"
#include "packet/tunnel.h"
#include "packet/wire.h"
#include "slow_path/native_fault.h"

namespace sluice::bench {
namespace {

constexpr uint16_t kMaxBurst = 64;
constexpr uint32_t kSlots = 15;  // of a bucket, as in the driver's index

struct alignas(64) Bucket {
  uint32_t row[kSlots + 1];
};

// As long as a templated rule and its share of what belongs to it.
struct alignas(64) Row {
  uint64_t packets, bytes;
  uint32_t last_hit_seconds;
  ShapeFlow flow;
  uint8_t macs[12];
  VxlanFields fields;
  uint8_t rest[24];
};
static_assert(sizeof(Row) == 128);

struct Memory {
  explicit Memory(uint32_t count) : rows_count(count) {
    while (uint64_t{buckets_count} * 8 < count) buckets_count *= 2;
    buckets = static_cast<Bucket*>(allocate_zeroed(uint64_t{buckets_count} * sizeof(Bucket)));
    rows = static_cast<Row*>(allocate_zeroed(uint64_t{rows_count} * sizeof(Row)));
    if (buckets == nullptr || rows == nullptr) throw NativeFault("MEMORY", "no memory to touch", ENOMEM);
    VxlanFields fields = {};
    fields.destination_be = __builtin_bswap32(kShapePeerEnd);
    fields.source_port_be = __builtin_bswap16(0xc000);
    fields.vni[2] = kShapeOtherVni;
    for (uint32_t number = 0; number < count; number++) {
      Row& row = rows[number];
      row.flow = shape_flow(number);
      std::memcpy(row.macs, kShapeMacs, sizeof row.macs);
      row.fields = fields;
      place(number).row[number % kSlots] = number;
    }
  }
  ~Memory() {
    release_zeroed(buckets, uint64_t{buckets_count} * sizeof(Bucket));
    release_zeroed(rows, uint64_t{rows_count} * sizeof(Row));
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Anywhere in the index, as a hash would have it.
  Bucket& place(uint32_t number) const { return buckets[(number * 0x9e3779b1u >> 7) & (buckets_count - 1)]; }

  uint32_t buckets_count = 4, rows_count;
  Bucket* buckets;
  Row* rows;
};

void rewrite(rte_mbuf* frame, ParsedPacket* headers, const VxlanHeader& header, uint32_t now, Row* row) {
  const ShapeFlow& flow = row->flow;
  row->packets++;
  row->bytes += headers->has_inner ? headers->inner.l3_end : headers->outer.l3_end;
  row->last_hit_seconds = now;
  if (flow.from_tunnel) pop_vxlan(frame, headers, kVxlanUdpPort);
  auto* data = rte_pktmbuf_mtod(frame, uint8_t*);
  std::memcpy(data, row->macs, sizeof row->macs);
  uint8_t* ip = data + headers->outer.l3;
  uint8_t* l4 = data + headers->outer.l4;
  uint64_t addresses = 0, ports = 0;
  const auto address = [&](uint16_t at, uint32_t value) {
    const uint32_t old_address = load_raw<uint32_t>(ip + at), new_address = __builtin_bswap32(value);
    addresses += uint64_t{~old_address} + new_address;
    store_raw(ip + at, new_address);
  };
  const auto port = [&](uint16_t at, uint16_t value) {
    const uint16_t old_port = load_raw<uint16_t>(l4 + at), new_port = __builtin_bswap16(value);
    ports += static_cast<uint16_t>(~old_port) + uint64_t{new_port};
    store_raw(l4 + at, new_port);
  };
  if (flow.new_source != 0) address(kIpv4Source, flow.new_source);
  if (flow.new_destination != 0) address(kIpv4Destination, flow.new_destination);
  if (flow.new_source_port != 0 && flow.protocol != kProtocolIcmp) port(kL4SourcePort, flow.new_source_port);
  if (flow.new_destination_port != 0 && flow.protocol != kProtocolIcmp)
    port(kL4DestinationPort, flow.new_destination_port);
  const uint16_t old_word = load_raw<uint16_t>(ip + kIpv4Ttl);
  const auto new_word = __builtin_bswap16(static_cast<uint16_t>(__builtin_bswap16(old_word) - 0x100));
  store_raw(ip + kIpv4Ttl, new_word);
  const uint64_t ttl = static_cast<uint16_t>(~old_word) + uint64_t{new_word};
  store_raw(ip + kIpv4Checksum, checksum_add(load_raw<uint16_t>(ip + kIpv4Checksum), addresses + ttl));
  if (flow.protocol != kProtocolIcmp) {
    uint8_t* checksum = l4 + (flow.protocol == kProtocolTcp ? kTcpChecksum : kUdpChecksum);
    store_raw(checksum, checksum_add(load_raw<uint16_t>(checksum), addresses + ports));
  }
  if (flow.into_tunnel) push_vxlan(frame, headers, header, row->fields);
}

}  // namespace

ResidentResult run_resident_bound(uint16_t from, uint16_t to, double seconds, uint32_t burst, uint32_t flows,
                                  uint32_t count) {
  const Memory memory(count);
  VxlanHeader header;
  std::memcpy(header.bytes, "\x02\0\0\0\0\x21\x02\0\0\0\0\x22", 12);
  store_be32(header.bytes + kEthernetBytes + kIpv4Source, kShapeTunnelEnd);
  complete_vxlan_header(&header, kVxlanUdpPort);
  rte_mbuf* frames[kMaxBurst];
  ParsedPacket headers[kMaxBurst];
  uint32_t number[kMaxBurst];
  Row* row[kMaxBurst];
  uint32_t now = 0;
  const auto most = static_cast<uint16_t>(burst > kMaxBurst ? kMaxBurst : burst);
  return run_with_shapes(seconds, flows, [&] {
    const uint16_t got = rte_eth_rx_burst(from, 0, frames, most);
    now++;
    for (uint16_t i = 0; i < got; i++) {
      const auto* data = rte_pktmbuf_mtod(frames[i], const uint8_t*);
      parse(data, frames[i]->data_len, ParseOptions{}, &headers[i]);
      number[i] = flow_of_frame(data, headers[i]);
      rte_prefetch0(&memory.place(number[i]));
    }
    for (uint16_t i = 0; i < got; i++) {
      const uint32_t found = memory.place(number[i]).row[number[i] % kSlots];
      // Where two flows have one slot, the frame's own number tells; the bucket has been read all the same.
      asm volatile("" : : "r"(found));
      row[i] = &memory.rows[number[i]];
      rte_prefetch0(row[i]);
      rte_prefetch0(reinterpret_cast<uint8_t*>(row[i]) + 64);
    }
    for (uint16_t i = 0; i < got; i++) rewrite(frames[i], &headers[i], header, now, row[i]);
    rte_eth_tx_burst(to, 0, frames, got);
  });
}

}  // namespace sluice::bench
