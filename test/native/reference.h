// rte_flow as its guide says, slow and straightforward: the judge of the engine. It shares no code with it,
// knows nothing of tables, offsets or incremental checksums, and reads the same rte_flow arrays.
#pragma once

#include <rte_flow.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sluice::test {

using Bytes = std::vector<uint8_t>;

struct ReferenceRule {
  rte_flow_attr attr;
  const rte_flow_item* items;
  const rte_flow_action* actions;
  uint64_t packets = 0;
  uint64_t bytes = 0;
};

struct ReferenceVerdict {
  std::string fate;  // miss, drop, queue, representor, port
  uint32_t value = 0;
  bool marked = false;
  uint32_t mark = 0;
  bool flagged = false;
  bool has_meta = false;
  uint32_t meta = 0;
  bool hashed = false;
  uint32_t hash = 0;
};

class Reference {
 public:
  std::vector<ReferenceRule> rules;  // in the order of creation
  // Packets leave `frame` changed. `reached` counts what happened, by name.
  ReferenceVerdict process(Bytes* frame, uint16_t port);
  std::map<std::string, uint64_t> reached;
};

}  // namespace sluice::test
