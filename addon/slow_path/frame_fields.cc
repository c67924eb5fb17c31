#include "slow_path/frame_fields.h"

#include <rte_errno.h>

#include "slow_path/native_fault.h"

namespace sluice {
namespace {

int register_field(const char* name, size_t size) {
  rte_mbuf_dynfield field = {};
  std::snprintf(field.name, sizeof field.name, "%s", name);
  field.size = size;
  field.align = size;
  const int offset = rte_mbuf_dynfield_register(&field);
  if (offset < 0) throw NativeFault("MEMORY", std::string("no room for mbuf field ") + name, rte_errno);
  return offset;
}

}  // namespace

FrameFields::FrameFields()
    : stamp_offset_(register_field("sluice_stamp", sizeof(Nanoseconds))),
      length_offset_(register_field("sluice_wire_length", sizeof(uint32_t))) {}

const FrameFields& FrameFields::instance() {
  static const FrameFields fields;
  return fields;
}

}  // namespace sluice
