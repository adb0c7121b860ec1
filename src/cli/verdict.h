// A gate's verdict as an exit code and as a sentence.
#pragma once

#include <string>

#include "cli/command.h"
#include "eval/gate.h"

namespace octavo::cli {

inline Exit VerdictExit(eval::Verdict verdict) {
  switch (verdict) {
    case eval::Verdict::kPass:
      return Exit::kDone;
    case eval::Verdict::kFail:
      return Exit::kGateFailed;
    case eval::Verdict::kUndecided:
      return Exit::kUndecided;
  }
  return Exit::kFailed;
}

inline std::string VerdictSentence(eval::Verdict verdict) {
  switch (verdict) {
    case eval::Verdict::kPass:
      return "pass: every rule holds, with its confidence";
    case eval::Verdict::kFail:
      return "fail: at least one rule is broken, with its confidence";
    case eval::Verdict::kUndecided:
      return "undecided: not enough data to tell; evaluate on more text";
  }
  return "";
}

}  // namespace octavo::cli
