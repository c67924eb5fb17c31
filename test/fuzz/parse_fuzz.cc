// Any bytes as a frame: the parser stays within them, and every offset that it gives is one inside the frame.
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "packet/parse.h"

namespace {

void demand(bool truth) {
  if (!truth) std::abort();
}

void check_layer(const sluice::LayerHeaders& layer, size_t size) {
  const auto inside = [size](uint16_t offset, size_t bytes) {
    demand(offset == sluice::kAbsent || offset + bytes <= size);
  };
  inside(layer.eth, 14);
  inside(layer.vlan, 4);
  inside(layer.l3, layer.l3_kind == sluice::L3::kIpv6 ? 40 : 20);
  inside(layer.l4, 8);
  inside(layer.l3_end, 0);
  if (layer.l4 != sluice::kAbsent) demand(layer.l4 <= layer.l3_end);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > 9600) return 0;
  // A copy of the exact size, so that the sanitizer sees one byte too many.
  const size_t length = size - 1;
  const std::unique_ptr<uint8_t[]> frame(new uint8_t[length]);
  std::copy(data + 1, data + size, frame.get());
  sluice::ParseOptions options;
  options.verify_ipv4_checksum = (data[0] & 1) != 0;
  options.l4_of_first_fragment = (data[0] & 2) != 0;
  sluice::ParsedPacket packet;
  sluice::parse(frame.get(), static_cast<uint32_t>(length), options, &packet);
  check_layer(packet.outer, length);
  check_layer(packet.inner, length);
  demand(!packet.has_inner || packet.vxlan != sluice::kAbsent);
  return 0;
}
