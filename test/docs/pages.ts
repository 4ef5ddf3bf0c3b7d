import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../../src/runtime/python.js'

/** A fenced block of a page. */
export interface Block {
  readonly page: string
  /** Line of the opening fence, from 1. */
  readonly line: number
  readonly language: string
  readonly text: string
  /** Reason of a `<!-- not run: REASON -->` above the block; null without one. */
  readonly notRun: string | null
}

export interface Page {
  /** Path in the repository. */
  readonly path: string
  readonly text: string
}

const FOLDERS = ['.', 'docs', 'configs', 'scripts/benchmarks', 'scripts/experiments', 'scripts/faults']

/** Every Markdown page of the repository, README first. */
export const pages: readonly Page[] = FOLDERS.flatMap((folder) =>
  readdirSync(join(packageRoot, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name)),
)
  .map((path) => ({ path, text: readFileSync(join(packageRoot, path), 'utf8') }))
  .sort((a, b) => Number(b.path === 'README.md') - Number(a.path === 'README.md'))

const FENCE = /(?:^<!-- not run: (.+) -->\n)?^```(\w*)\n([\s\S]*?)^```$/gm

/** The fenced blocks of all pages in a language. */
export function blocksIn(language: string): readonly Block[] {
  return pages.flatMap(({ path, text }) =>
    [...text.matchAll(FENCE)]
      .filter((match) => match[2] === language)
      .map((match) => ({
        page: path,
        line: text.slice(0, match.index).split('\n').length + (match[1] === undefined ? 0 : 1),
        language,
        text: match[3]!,
        notRun: match[1] ?? null,
      })),
  )
}

/** A page without its fenced blocks, for links and code spans. */
export function proseOf({ text }: Page): string {
  return text.replace(/^```[\s\S]*?^```$/gm, '')
}

/** Anchors of a page, as GitHub makes them from headings. */
export function anchorsOf(page: Page): ReadonlySet<string> {
  const seen = new Map<string, number>()
  const headings = [...proseOf(page).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading]) => slugOf(heading!))
  return new Set(
    headings.map((slug) => {
      const count = seen.get(slug) ?? 0
      seen.set(slug, count + 1)
      return count === 0 ? slug : `${slug}-${count}`
    }),
  )
}

function slugOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}
