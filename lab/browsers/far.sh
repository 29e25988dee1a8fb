#!/bin/sh
# Chromium beyond the link.
exec ip netns exec far /usr/bin/chromium "$@"
