"""InternVid-G: from a folder of videos to captioned segments with negative spans, stage by stage."""
