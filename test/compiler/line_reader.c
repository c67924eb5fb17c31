// testpmd's reader of commands with the line of DPDK 24.07 and later: LINE_MAX characters where 22.11 holds 512
// (lib/cmdline/cmdline_rdline.h, RDLINE_BUF_SIZE). Preloaded into Debian's testpmd it replaces that one function of
// librte_cmdline; what parses the line and makes the rule is Debian's.
#include <limits.h>
#include <stdio.h>

struct cmdline;
int cmdline_parse(struct cmdline *cl, const char *buf);

void cmdline_interact(struct cmdline *cl) {
  // What cmdline_valid_buffer() says to CMDLINE_PARSE_AMBIGUOUS, _NOMATCH and _BAD_ARGS.
  static const char *const faults[] = {"Ambiguous command", "Command not found", "Bad arguments"};
  char line[LINE_MAX + 2];
  while (fgets(line, sizeof line, stdin) != NULL) {
    const int code = cmdline_parse(cl, line);
    if (code < 0 && code >= -3) printf("%s\n", faults[-code - 1]);
  }
}
