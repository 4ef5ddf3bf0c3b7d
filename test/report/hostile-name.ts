import { expect } from 'vitest'

/** A name that would load a picture, run a script, leave its attribute, and act on whoever reads it. */
export const HOSTILE = `<img src=x onerror=alert(1)><script>alert('x')</script>" onload="x \u001b[2J\u0000\u202e\u2028`

/** Expects that a page shows the name as text, this often at least. */
export function expectShownAsText(html: string, times: number): void {
  expect(html).not.toMatch(/<script|<img src=x|<[^<>]*" onload="x/)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those must not come out
  expect(html).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e]/)
  const shown = html.match(/&lt;img src=x onerror=alert\(1\)&gt;[^<]*?\\u001b\[2J\\u0000\\u202e\\u2028/g)
  expect(shown?.length ?? 0).toBeGreaterThanOrEqual(times)
}
