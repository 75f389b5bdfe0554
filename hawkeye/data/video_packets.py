"""What the packets of a video stream tell about its frames, without decoding them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import av

from hawkeye.data.video_file import OpenFile


@dataclass
class Packets:
    """The packets of a stream, in the order of decoding.

    Attributes:
        shown: presentation timestamp of each frame that is shown.
        decoded: decoding timestamp of the same.
        lengths: length of the same in units of the timestamps, 0 where it is unknown.
        keyframes: presentation timestamps of the keyframes.
        openings: places in `clock` of the keyframes.
        clock: decoding timestamps of all packets.
        suspects: places in `clock` of the packets of which the container misses bytes.
        cut: presentation timestamp of the last packet, if bytes of it are missing (a cut file).
        is_plain: whether all keyframes are H.264 IDR pictures with the file's parameters, and all packets are whole
            and shown.
    """

    shown: list[int | None] = field(default_factory=list)
    decoded: list[int | None] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    keyframes: list[int | None] = field(default_factory=list)
    openings: list[int] = field(default_factory=list)
    clock: list[int | None] = field(default_factory=list)
    suspects: list[int] = field(default_factory=list)
    cut: int | None = None
    is_plain: bool = True

    @property
    def runs_back(self) -> bool:
        """Whether the clock runs backwards somewhere."""
        known = [stamp for stamp in self.clock if stamp is not None]
        return any(later < earlier for earlier, later in pairwise(known))


def read_packets(opened: OpenFile) -> Packets:
    """Reads all packets of a file that was just opened."""
    found, context = Packets(), opened.stream.codec_context
    last: av.Packet | None = None
    for packet in opened.packets():
        if not packet.size:
            continue
        last = packet
        if packet.is_corrupt:
            found.suspects.append(len(found.clock))
        elif packet.is_keyframe:
            found.keyframes.append(packet.pts)
            found.openings.append(len(found.clock))
            found.is_plain &= _is_idr(packet, context)
        # What an edit list cuts off is decoded and not shown; nothing is decoded before the first keyframe.
        if found.keyframes and not packet.is_discard:
            found.shown.append(packet.pts)
            found.decoded.append(packet.dts)
            found.lengths.append(packet.duration or 0)
        found.is_plain &= not (packet.is_corrupt or packet.is_discard)
        found.clock.append(packet.dts)
    if last is not None and last.is_corrupt:
        found.cut = last.pts or 0
    return found


def _is_idr(packet: av.Packet, context: av.VideoCodecContext) -> bool:
    """Whether an H.264 packet of a container with length prefixes holds a picture that no reference reaches across, and
    no other parameters (size, colours) than those at the head of the file."""
    if context.name != "h264" or not context.extradata or context.extradata[0] != 1:
        return False
    prefix, data, offset = (context.extradata[4] & 3) + 1, bytes(packet), 0
    found = False
    while offset + prefix < len(data):
        length = int.from_bytes(data[offset : offset + prefix], "big")
        unit = data[offset + prefix : offset + prefix + length]
        if unit and unit[0] & 31 == 7 and unit not in context.extradata:
            return False
        found |= bool(unit) and unit[0] & 31 == 5
        offset += prefix + length
    return found
