// The layer of faces over a picture, or over a plain background.

uniform sampler2D layer;     // premultiplied RGBA
uniform sampler2D pixels;    // texel (0, 0) lies at pixel pixels_origin
uniform ivec2 pixels_origin;
uniform float opacity;
uniform vec4 background;     // w = 1: instead of pixels

out vec4 out_color;

void main() {
    ivec2 at = ivec2(gl_FragCoord.xy);
    vec4 face = texelFetch(layer, at, 0) * opacity;
    vec3 behind = background.w > 0.5 ? background.rgb : texelFetch(pixels, at - pixels_origin, 0).rgb;
    out_color = vec4(face.rgb + behind * (1.0 - face.a), 1.0);
}
