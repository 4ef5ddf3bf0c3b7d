/**
 * Split shell text into the commands that it starts, each as its words. Knows what the documentation uses: comments, quotes,
 * continued lines, pipes, lists and redirections; `$(...)` stays in its word.
 */
export function commandsOf(text: string): readonly (readonly string[])[] {
  const lines = text.replaceAll('\\\n', ' ').split('\n')
  return lines.flatMap(commandsOfLine).filter((words) => words.length > 0)
}

const WORD =
  /\s+|#.*$|&&|\|\||[|;]|(?:\d?>>?|<)\s*\S+|(?:\$\([^)]*\)|"(?:[^"\\]|\\.)*"|'[^']*'|[^\s|;&"'#<>]|(?<=\S)#)+/g

function commandsOfLine(line: string): string[][] {
  const commands: string[][] = [[]]
  for (const [token] of line.matchAll(WORD)) {
    if (/^(\s|#|\d?>|<)/.test(token)) continue
    if (/^(&&|\|\|?|;)$/.test(token)) commands.push([])
    else commands.at(-1)!.push(token.replaceAll(/^["']|["']$/g, ''))
  }
  return commands.map(withoutPrefix)
}

/** Drops assignments, `npx` and `nohup` before the program. */
function withoutPrefix(words: string[]): string[] {
  const start = words.findIndex((word) => !/^([A-Z_]+=.*|npx|nohup)$/.test(word))
  return start < 0 ? [] : words.slice(start)
}
