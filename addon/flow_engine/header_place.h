// Where eight bytes of a header are, for packets of whatever lengths: read through the parser's offsets, so
// that a look-up needs no view of all headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "flow_engine/items.h"
#include "packet/parse.h"

namespace sluice {

struct HeaderPlace {
  uint16_t header = 0;  // of the parser's offset, in ParsedPacket
  int16_t behind = 0;   // bytes from the header's start

  // False: what the slot has is not in the frame.
  bool set(Slot slot, int8_t offset);
  const uint8_t* in(const uint8_t* frame, const ParsedPacket& headers) const {
    uint16_t at;
    std::memcpy(&at, reinterpret_cast<const uint8_t*>(&headers) + header, sizeof at);
    return frame + at + behind;
  }
};

}  // namespace sluice
