#include "support.h"

int main(int argc, char** argv) { return sluice::test::run_tests(argc, argv); }
