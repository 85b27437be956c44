#!/usr/bin/env bash
# A real game, upscaled while it runs: SuperTux at 960x540 on an X server without a screen, captured,
# upscaled by the service, and shown in a window at 1920x1080 on the same X server.
#
#     examples/supertux.sh OUT [options of `upscaler capture`, such as --viewer 5580 --method fsr1]
#
# leaves OUT/screen.png, a picture of both windows, and OUT/capture.txt, what upscaler said: frames a
# second, and the time of a capture, of the intervals, and from the capture to the picture. SECONDS_
# (20) is how long it runs. Installs the game, Xvfb and xdotool from Debian's packages where they are
# missing, which takes root. PYTHON is the interpreter that has upscaler[capture], python3 by default.
set -euo pipefail
out=${1:?name a folder for the picture: examples/supertux.sh OUT}
shift
mkdir -p "$out"
python=${PYTHON:-python3}
level=/usr/share/games/supertux2/levels/world1/welcome_antarctica.stl

missing=()
[ -x /usr/games/supertux2 ] || missing+=(supertux)
command -v Xvfb > /dev/null || missing+=(xvfb)
command -v xdotool > /dev/null || missing+=(xdotool)
if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || { echo "missing: apt-get install ${missing[*]}" >&2; exit 2; }
    apt-get update -q > /dev/null
    apt-get install -qy --no-install-recommends "${missing[@]}" > /dev/null
fi

# Wide enough for both: what covers a window is captured with it.
exec {display}<> <(:)
Xvfb -displayfd "$display" -screen 0 2880x1080x24 -nolisten tcp 2> "$out/xvfb.txt" &
started=($!)
# The game asks whether it may end, and would wait for the answer.
trap 'kill -KILL "${started[@]}" 2> /dev/null || true; wait 2> /dev/null || true' EXIT
read -r -t 20 number <&"$display"
export DISPLAY=:$number SDL_AUDIODRIVER=dummy

# Its own home: neither settings nor games saved are touched.
game_home=$(mktemp -d)
env HOME="$game_home" XDG_RUNTIME_DIR="$game_home" /usr/games/supertux2 --window \
    --geometry 960x540 --renderer sdl --disable-sound --disable-music "$level" \
    > "$out/game.txt" 2>&1 &
started+=($!)
window=$(timeout 60 xdotool search --sync --onlyvisible --name SuperTux | head -1)
xdotool windowmove "$window" 1920 0 mousemove 2879 1079

# Somebody plays: on from where the game stopped when the other window came, to the right, with a
# jump now and then.
play() {
    xdotool windowfocus "$window"
    sleep 1
    xdotool key Return
    xdotool keydown Right
    while true; do
        sleep 1.3
        xdotool keydown space
        sleep 0.35
        xdotool keyup space
    done
}
SDL_VIDEO_WINDOW_POS=0,0 "$python" -m upscaler capture --window SuperTux --to window \
    --seconds "${SECONDS_:-20}" "$@" > "$out/capture.txt" &
capture=$!
started+=("$capture")
# The picture is taken in the middle of the game.
until grep -q "^window SuperTux" "$out/capture.txt"; do
    kill -0 "$capture" || { cat "$out/capture.txt"; exit 2; }
    sleep 0.2
done
sleep 3
play &
started+=($!)
sleep $((${SECONDS_:-20} * 2 / 3 - 3))
"$python" - "$out/screen.png" << 'PYTHON'
import sys

import mss
import mss.tools

with mss.MSS() as screen:
    picture = screen.grab(screen.monitors[0])
    mss.tools.to_png(picture.rgb, picture.size, output=sys.argv[1])
PYTHON
wait "$capture"
cat "$out/capture.txt"
