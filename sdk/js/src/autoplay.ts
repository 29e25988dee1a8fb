type Resume = () => Promise<void>;

const GESTURES = ['pointerdown', 'keydown'] as const;

/**
 * Browsers play sound only after the person has clicked or pressed a key. What was refused goes on with the next of that;
 * a dialog asks for it, unless the page has its own way.
 */
export class Autoplay {
  readonly #waiting = new Set<Resume>();
  #dialog: HTMLDialogElement | undefined;
  #onGesture = (): void => this.#resume();

  wait(resume: Resume, isAsked: boolean): void {
    if (this.#waiting.size === 0) for (const event of GESTURES) document.addEventListener(event, this.#onGesture, true);
    this.#waiting.add(resume);
    if (isAsked) this.#ask();
  }

  close(): void {
    if (this.#waiting.size > 0) for (const event of GESTURES) document.removeEventListener(event, this.#onGesture, true);
    this.#waiting.clear();
    this.#dialog?.remove();
    this.#dialog = undefined;
  }

  #resume(): void {
    const waiting = [...this.#waiting];
    this.close();
    // Refused once more, they say so once more.
    for (const resume of waiting) void resume().catch(() => undefined);
  }

  #ask(): void {
    if (this.#dialog) return;
    const dialog = document.createElement('dialog');
    const button = document.createElement('button');
    button.textContent = 'Play sound';
    button.addEventListener('click', () => this.#resume());
    dialog.append(button);
    document.body.append(dialog);
    dialog.showModal?.();
    this.#dialog = dialog;
  }
}
