// Flows as JSON lines: the same text that FlowDump's entries have (src/controller/flow-dump.ts).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "generated/records.h"

namespace sluice {

// Writes a line for each of `lines`, whose texts are places in `texts`. Returns the bytes written; −1 when a
// text is not whole in `texts` (FLOW_TEXT_SLACK included) or `out` has not FLOW_LINE_BYTES more than a line's
// texts: then what `out` holds means nothing.
ptrdiff_t format_flow_lines(std::span<const FlowLine> lines, std::span<const char> texts,
                            std::span<char> out);

}  // namespace sluice
