"""What the scripts share: one line for each check."""
import sys
import traceback


def run(*checks):
    for check in checks:
        name = check.__name__.replace("_", "-")
        try:
            check()
            print("ok", name, flush=True)
        except Exception as e:  # each check reports, none hides the next
            traceback.print_exc(file=sys.stderr)
            print(f"not ok {name}: {type(e).__name__} {e}".replace("\n", " "), flush=True)
