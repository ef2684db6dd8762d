// Lines by the distance to the triangle's edges in pixels, so they are antialiased and equally wide everywhere.

uniform float line_width;  // px

flat in vec3 lines;
noperspective in float solid;
noperspective in vec3 corner;
noperspective in vec3 stroke;
noperspective in vec4 fill;

out vec4 out_color;

void main() {
    vec3 slope = sqrt(dFdx(corner) * dFdx(corner) + dFdy(corner) * dFdy(corner));
    float steepest = max(max(slope.x, max(slope.y, slope.z)), 1e-6);
    vec3 distance_px = abs(corner.zxy) / max(slope.zxy, vec3(1e-6));  // edge k lies opposite corner k + 2
    vec3 cover = clamp(0.5 * line_width + 0.5 - distance_px, 0.0, 1.0) * lines;
    // Where triangles are a few pixels high, lines would merge into a sheet: they fade instead.
    float line = max(cover.x, max(cover.y, cover.z)) * clamp(1.0 / (3.0 * line_width * steepest), 0.15, 1.0);
    out_color = solid * mix(fill, vec4(stroke, 1.0), line);  // written without blending: it hides the lines behind it
}
