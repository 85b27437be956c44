"""`upscaler bench latency`: the same measurement on every build, size and device, for QA.

plan        what is asked for, and which combinations can be had
loops       frames through a client or an upscaler: closed loop, open loop, device alone
measure     a plan from its first frame to its results
statistics  from times of frames to figures, with the rules that they follow
results     what `run.json` holds, and its schema
files       everything that a run leaves in its folder, each file written by its own module
budgets, diff, history   what is made of finished runs
"""
