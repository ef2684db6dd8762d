// A picture brought to a rectangle of the window, or a label laid over it.

uniform sampler2D picture;  // row 0 is the top row
uniform vec4 area;          // px of the window: left, bottom, width, height
uniform bool mirrored;

out vec4 out_color;

void main() {
    vec2 at = (gl_FragCoord.xy - area.xy) / area.zw;
    out_color = texture(picture, vec2(mirrored ? 1.0 - at.x : at.x, 1.0 - at.y));
}
