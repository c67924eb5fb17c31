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

// The definition that was read last, and the header that it gave: most differ from the one before in
// VxlanFields alone, and need not be read. Only one of ETH, IPV4, UDP and VXLAN, without any item between, is
// known.
class KnownDefinition {
 public:
  // Whether a definition would give the known header, and what its fields are then.
  bool is(const rte_flow_item* definition, VxlanFields* fields) const {
    return header_ != 0 && is_like(definition, fields);
  }
  uint32_t header() const { return header_; }
  // One that was read without fault, and its header's id.
  void know(const rte_flow_item* definition, uint32_t header);
  // The id will soon mean another header.
  void forget(uint32_t header) {
    if (header_ == header) header_ = 0;
  }

 private:
  bool is_like(const rte_flow_item* definition, VxlanFields* fields) const;

  // Of the specs, as they stand in memory, without the fields.
  struct Words {
    uint64_t eth, ipv4[2], udp, vxlan;
  };
  static Words words_of(const rte_flow_item* definition);

  uint32_t header_ = 0;  // 0: none is known
  Words words_ = {};
};

// Tells by its length and contents what RAW_ENCAP's or RAW_DECAP's data is.
RawKind classify_raw(const uint8_t* data, size_t size, uint16_t vxlan_udp_port);
const char* read_raw_encapsulation(const uint8_t* data, size_t size, uint16_t vxlan_udp_port,
                                   VxlanHeader* header);

}  // namespace sluice
