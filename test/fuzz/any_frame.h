// Frames out of a fuzzer's input: headers that rules can meet, in every order and depth that the parser
// knows, behind which the input's own bytes lie, some of them changed.
#pragma once

#include "input.h"
#include "support.h"

namespace fuzz {

sluice::test::Bytes any_frame(Input& in);
// Up to three bytes of it, anywhere.
void change_bytes(Input& in, sluice::test::Bytes* frame);

}  // namespace fuzz
