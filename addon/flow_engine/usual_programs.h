// Programs of the form that most rules of a gateway have, which are run at one go instead of operation by
// operation.
#pragma once

#include "flow_engine/actions.h"

namespace sluice {

// Fills in `translation` and `straight`, and the operations' `run`, of a program whose operations are all
// there.
void recognise_usual(ActionProgram* program);

}  // namespace sluice
