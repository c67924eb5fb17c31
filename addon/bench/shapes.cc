#include "bench/shapes.h"

#include <cstring>

#include "packet/wire.h"

namespace sluice::bench {

ShapeFlow shape_flow(uint32_t number) {
  constexpr uint32_t kRemote = 0x08080808;
  constexpr uint16_t kHostPort = 1000, kRemotePort = 53;
  const uint32_t shape = number % kShapes, n = number / kShapes;
  constexpr uint8_t kProtocols[kShapes] = {kProtocolUdp, kProtocolTcp, kProtocolIcmp, kProtocolUdp,
                                           kProtocolTcp, kProtocolIcmp, kProtocolUdp, kProtocolUdp};
  const bool outward = shape < 3 || shape == 6;
  const uint32_t host = 0x0a000000 + n, translated = 0x64000000 + n;  // 10.0.0.0, 100.0.0.0
  const auto translated_port = static_cast<uint16_t>(0x4000 | (n & 0x3fff));
  ShapeFlow flow = {};
  flow.protocol = kProtocols[shape];
  flow.from_tunnel = outward;
  flow.into_tunnel = (shape >= 3 && shape < 6) || shape == 6;
  flow.source = outward ? host : kRemote;
  flow.destination = outward ? kRemote : translated;
  flow.source_port = outward ? kHostPort : kRemotePort;
  if (shape >= 6) flow.source_port++;  // the patterns of 0 and 3 otherwise
  flow.destination_port = outward ? kRemotePort : translated_port;
  if (outward || shape == 7) {
    flow.new_source = outward ? translated : 0x64ffffff;
    flow.new_source_port = outward ? translated_port : 999;
  }
  if (!outward || shape == 6) {
    flow.new_destination = shape == 6 ? 0x0b000000 + n : host;
    flow.new_destination_port = shape == 6 ? 5353 : kHostPort;
  }
  return flow;
}

ShapeTraffic& shape_traffic() {
  static ShapeTraffic traffic;
  return traffic;
}

uint32_t flow_of_frame(const uint8_t* frame, const ParsedPacket& headers) {
  const LayerHeaders& layer = headers.has_inner ? headers.inner : headers.outer;
  const uint32_t header = layer.protocol == kProtocolTcp ? kTcpBytes : kUdpBytes;  // ICMP's is as long as UDP's
  return load_raw<uint32_t>(frame + layer.l4 + header);
}

}  // namespace sluice::bench
