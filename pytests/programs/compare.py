"""Compare the order of random programs here with upstream's.

    compare.py [COUNT]

Exit status 1 when more than one in TOLERATED differs.  The rest are programs in
which a permit or a pool's place is passed on by a greenlet that was killed just
as it got it: upstream wakes the next at once, here it waits its turn.
"""
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from random_programs import UPSTREAM_DIFFERS
from runs import upstream_python

TOLERATED = 500
TIME_LIMIT = 300  # seconds for all programs of one side


def traces(python, count):
    return subprocess.run(
        [python, str(HERE / 'random_programs.py'), '0', str(count),
         *UPSTREAM_DIFFERS], capture_output=True, text=True,
        timeout=TIME_LIMIT, check=True).stdout.splitlines()


def main(count):
    upstream, here = (traces(python, count)
                      for python in (upstream_python(sys.executable),
                                     sys.executable))
    differing = [one.split()[0]
                 for one, other in zip(upstream, here, strict=True)
                 if one != other]
    print(f"random programs: {count} run, {len(differing)} in another order "
          f"than on upstream {' '.join(differing[:10])}")
    return len(differing) * TOLERATED > count or len(here) != count


if __name__ == '__main__':
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
