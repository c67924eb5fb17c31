// Errors as rte_flow reports them: type, the object that caused it, and a message that names it.
#pragma once

#include <rte_errno.h>
#include <rte_flow.h>

namespace sluice {

// Fills `error` (which may be null), sets rte_errno, returns -code. `message` is a constant string.
inline int fail(rte_flow_error* error, int code, rte_flow_error_type type, const void* cause,
                const char* message) {
  if (error != nullptr) {
    error->type = type;
    error->cause = cause;
    error->message = message;
  }
  rte_errno = code;
  return -code;
}

// "NAME: text" as a string that lives as long as the process: rte_flow's messages are never freed by their
// reader. Both arguments come from constant tables, so the number of such strings is bounded.
const char* named_message(const char* name, const char* text);

}  // namespace sluice
