// Encapsulation definitions of VXLAN_ENCAP and RAW_ENCAP, read into the header they put in front of a packet.
#pragma once

#include <rte_flow.h>

#include "packet/tunnel.h"

namespace sluice {

enum class RawKind : uint8_t { kUnsupported, kEthernet, kVxlan };

// Null on success, otherwise what is wrong. Masks of the definition are ignored, as drivers do: its specs
// count.
const char* read_vxlan_definition(const rte_flow_item* definition, uint16_t vxlan_udp_port,
                                  VxlanHeader* header);

// Tells by its length and contents what RAW_ENCAP's or RAW_DECAP's data is.
RawKind classify_raw(const uint8_t* data, size_t size, uint16_t vxlan_udp_port);
const char* read_raw_encapsulation(const uint8_t* data, size_t size, uint16_t vxlan_udp_port,
                                   VxlanHeader* header);

}  // namespace sluice
