// The virtual device driver "net_shapes": a wire in memory with frames of eight rule shapes on it (shapes.h), inner
// frames of 64 bytes with their checksum. What is sent on it is checked by sample.
#include <bus_vdev_driver.h>
#include <ethdev_driver.h>
#include <ethdev_vdev.h>

#include <algorithm>
#include <cstring>

#include "bench/frames.h"
#include "bench/shapes.h"
#include "bench/virtual_device.h"
#include "packet/checksum.h"

namespace sluice::bench {
namespace {

constexpr uint32_t kInnerBytes = 60;  // without the frame check sequence, which no driver shows

uint16_t l4_header(uint8_t protocol) { return protocol == kProtocolTcp ? kTcpBytes : kUdpBytes; }

uint16_t checksum_at(uint8_t protocol) {
  return protocol == kProtocolTcp ? kTcpChecksum : protocol == kProtocolUdp ? kUdpChecksum : kIcmpChecksum;
}

uint64_t sum_of(const uint8_t* data, uint32_t bytes) {
  uint64_t sum = 0;
  for (uint32_t at = 0; at + 1 < bytes; at += 2) sum += load_raw<uint16_t>(data + at);
  return sum;
}

// A frame of a shape but for the flow's own address, port and number, which are 0 in it, and their part of its sums.
struct FrameOfShape {
  uint8_t bytes[kUnderlayBytes + kInnerBytes];
  uint32_t length;
  uint16_t varying_address, varying_port, number, ip_checksum, l4_checksum;  // offsets; port 0: none
  uint64_t ip_sum, l4_sum;

  void make(uint32_t shape);
  void write(uint8_t* frame, uint32_t flow_number, const ShapeFlow& flow) const {
    std::memcpy(frame, bytes, length);
    const uint32_t address = __builtin_bswap32(flow.from_tunnel ? flow.source : flow.destination);
    store_raw(frame + varying_address, address);
    store_raw(frame + ip_checksum, static_cast<uint16_t>(~fold(ip_sum + address)));
    store_raw(frame + number, flow_number);
    uint64_t sum = l4_sum + flow_number + (flow.protocol == kProtocolIcmp ? 0 : address);
    if (varying_port != 0) {
      const uint16_t port = __builtin_bswap16(flow.destination_port);
      store_raw(frame + varying_port, port);
      sum += port;
    }
    // 0 would say that there is none (RFC 768).
    const auto checksum = static_cast<uint16_t>(~fold(sum));
    store_raw(frame + l4_checksum, checksum == 0 && flow.protocol == kProtocolUdp ? uint16_t{0xffff} : checksum);
  }
};

void FrameOfShape::make(uint32_t shape) {
  *this = {};
  const ShapeFlow flow = shape_flow(shape);
  uint8_t* inner = bytes;
  if (flow.from_tunnel) {
    std::memcpy(bytes, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0", kEthernetBytes);
    uint8_t* ip = bytes + kEthernetBytes;
    ip[0] = 0x45;
    store_be16(ip + kIpv4TotalLength, static_cast<uint16_t>(kIpv4Bytes + kUdpBytes + kVxlanBytes + kInnerBytes));
    ip[kIpv4Ttl] = 64;
    ip[kIpv4Protocol] = kProtocolUdp;
    store_be32(ip + kIpv4Source, kShapePeerEnd);
    store_be32(ip + kIpv4Destination, kShapeTunnelEnd);
    store_raw(ip + kIpv4Checksum, static_cast<uint16_t>(~checksum_sum(ip, kIpv4Bytes)));
    uint8_t* udp = ip + kIpv4Bytes;
    store_be16(udp, 0xc000);
    store_be16(udp + kL4DestinationPort, kVxlanUdpPort);
    store_be16(udp + kUdpLength, static_cast<uint16_t>(kUdpBytes + kVxlanBytes + kInnerBytes));
    udp[kUdpBytes] = kVxlanFlagI;
    udp[kUdpBytes + kVxlanVni + 2] = kShapeVni;
    inner = bytes + kUnderlayBytes;
  }
  length = static_cast<uint32_t>(inner - bytes) + kInnerBytes;
  std::memcpy(inner, "\x02\0\0\0\0\x03\x02\0\0\0\0\x04\x08\0", kEthernetBytes);
  uint8_t* ip = inner + kEthernetBytes;
  const uint32_t l4_bytes = kInnerBytes - kEthernetBytes - kIpv4Bytes;
  ip[0] = 0x45;
  store_be16(ip + kIpv4TotalLength, static_cast<uint16_t>(kIpv4Bytes + l4_bytes));
  ip[kIpv4Ttl] = 64;
  ip[kIpv4Protocol] = flow.protocol;
  store_be32(ip + (flow.from_tunnel ? kIpv4Destination : kIpv4Source),
             flow.from_tunnel ? flow.destination : flow.source);
  ip_sum = sum_of(ip, kIpv4Bytes);
  uint8_t* l4 = ip + kIpv4Bytes;
  if (flow.protocol == kProtocolIcmp) {
    l4[kIcmpType] = 8;
  } else {
    store_be16(l4, flow.source_port);
    if (flow.from_tunnel) store_be16(l4 + kL4DestinationPort, flow.destination_port);
    else varying_port = static_cast<uint16_t>(l4 + kL4DestinationPort - bytes);
    if (flow.protocol == kProtocolUdp) store_be16(l4 + kUdpLength, static_cast<uint16_t>(l4_bytes));
    else l4[kTcpDataOffset] = 0x50, l4[kTcpDataOffset + 1] = 0x10;  // five words, ACK
    // The pseudo-header (RFC 9293 section 3.1): addresses, protocol, length.
    l4_sum = sum_of(ip + kIpv4Source, 8) + __builtin_bswap16(flow.protocol) +
             __builtin_bswap16(static_cast<uint16_t>(l4_bytes));
  }
  l4_sum += sum_of(l4, l4_bytes);
  varying_address = static_cast<uint16_t>(ip + (flow.from_tunnel ? kIpv4Source : kIpv4Destination) - bytes);
  ip_checksum = static_cast<uint16_t>(ip + kIpv4Checksum - bytes);
  l4_checksum = static_cast<uint16_t>(l4 + checksum_at(flow.protocol) - bytes);
  number = static_cast<uint16_t>(l4 + l4_header(flow.protocol) - bytes);
}

// Whether a frame is what its flow's rule should have made of it.
bool is_right(const uint8_t* frame, uint32_t bytes) {
  ParsedPacket headers;
  parse(frame, bytes, ParseOptions{}, &headers);
  if (headers.fault != ParseFault::kNone) return false;
  const LayerHeaders& layer = headers.has_inner ? headers.inner : headers.outer;
  if (layer.l4 == kAbsent) return false;
  const uint32_t number = flow_of_frame(frame, headers);
  const ShapeFlow flow = shape_flow(number);
  if (headers.has_inner != flow.into_tunnel) return false;
  if (flow.into_tunnel) {
    const uint8_t* ip = frame + headers.outer.l3;
    if (load_be32(frame + headers.vxlan + kVxlanVni) >> 8 != kShapeOtherVni ||
        load_be32(ip + kIpv4Destination) != kShapePeerEnd || checksum_sum(ip, kIpv4Bytes) != 0xffff) {
      return false;
    }
  }
  const uint8_t* ip = frame + layer.l3;
  const uint8_t* l4 = frame + layer.l4;
  const uint32_t l4_bytes = layer.l3_end - layer.l4;
  const auto expected = [](uint32_t changed, uint32_t kept) { return changed != 0 ? changed : kept; };
  if (std::memcmp(frame + layer.eth, kShapeMacs, sizeof kShapeMacs) != 0 || ip[kIpv4Ttl] != 63 ||
      ip[kIpv4Protocol] != flow.protocol || checksum_sum(ip, kIpv4Bytes) != 0xffff ||
      load_be32(ip + kIpv4Source) != expected(flow.new_source, flow.source) ||
      load_be32(ip + kIpv4Destination) != expected(flow.new_destination, flow.destination)) {
    return false;
  }
  if (flow.protocol == kProtocolIcmp) return checksum_sum(l4, l4_bytes) == 0xffff;
  const uint32_t pseudo = static_cast<uint32_t>(sum_of(ip + kIpv4Source, 8)) + __builtin_bswap16(flow.protocol) +
                          __builtin_bswap16(static_cast<uint16_t>(l4_bytes));
  return checksum_sum(l4, l4_bytes, pseudo) == 0xffff &&
         load_be16(l4) == expected(flow.new_source_port, flow.source_port) &&
         load_be16(l4 + kL4DestinationPort) == expected(flow.new_destination_port, flow.destination_port);
}

class Wire : public VirtualDevice {
 public:
  void started() override {
    for (uint32_t shape = 0; shape < kShapes; shape++) frames_[shape].make(shape);
    random_ = shape_traffic().seed;
    until_check_ = shape_traffic().check_every;
  }
  uint16_t receive(rte_mbuf** frames, uint16_t count);
  uint16_t transmit(rte_mbuf** frames, uint16_t count);

 private:
  FrameOfShape frames_[kShapes];
  uint64_t random_ = 1;
  uint32_t until_check_ = 1;
};

uint16_t Wire::receive(rte_mbuf** frames, uint16_t count) {
  ShapeTraffic& traffic = shape_traffic();
  if (traffic.flows == 0 || rte_pktmbuf_alloc_bulk(pool, frames, count) != 0) return 0;
  for (uint16_t i = 0; i < count; i++) {
    random_ = random_ * 6364136223846793005ull + 1442695040888963407ull;
    const auto number = static_cast<uint32_t>((random_ >> 32) * traffic.flows >> 32);
    const FrameOfShape& made = frames_[number % kShapes];
    made.write(rte_pktmbuf_mtod(frames[i], uint8_t*), number, shape_flow(number));
    frames[i]->data_len = static_cast<uint16_t>(made.length);
    frames[i]->pkt_len = made.length;
  }
  traffic.emitted += count;
  return count;
}

uint16_t Wire::transmit(rte_mbuf** frames, uint16_t count) {
  ShapeTraffic& traffic = shape_traffic();
  traffic.arrived += count;
  if (until_check_ <= count) {
    const rte_mbuf* frame = frames[until_check_ - 1];
    traffic.checked++;
    if (frame->nb_segs != 1 || !is_right(rte_pktmbuf_mtod(frame, const uint8_t*), frame->data_len)) traffic.wrong++;
    until_check_ += traffic.check_every;
  }
  until_check_ -= std::min<uint32_t>(count, until_check_ - 1);
  rte_pktmbuf_free_bulk(frames, count);
  return count;
}

uint16_t receive_burst(void* queue, rte_mbuf** frames, uint16_t count) {
  return static_cast<Wire*>(static_cast<VirtualDevice*>(queue))->receive(frames, count);
}
uint16_t transmit_burst(void* queue, rte_mbuf** frames, uint16_t count) {
  return static_cast<Wire*>(static_cast<VirtualDevice*>(queue))->transmit(frames, count);
}

int probe(rte_vdev_device* vdev) {
  static const eth_dev_ops operations = device_operations();
  auto* wire = new Wire;
  rte_eth_random_addr(wire->mac.addr_bytes);
  return add_device(vdev, wire, &operations, receive_burst, transmit_burst);
}

rte_vdev_driver driver = {};

RTE_INIT(register_shapes) {
  driver.probe = probe;
  driver.remove = remove_device;
  driver.driver.name = "net_shapes";
  rte_vdev_register(&driver);
}

}  // namespace
}  // namespace sluice::bench

RTE_PMD_EXPORT_NAME(net_shapes, __COUNTER__);
