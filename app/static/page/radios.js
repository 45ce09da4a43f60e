// Gradio names each radio button of a group differently. With one name the group is one tab stop, moved in by arrows.

/** Gives the radio buttons of every group one name. */
export const joinRadios = (root) => {
  for (const [number, group] of root.querySelectorAll("fieldset").entries()) {
    for (const button of group.querySelectorAll('input[type="radio"]')) {
      const name = `radios-${group.id || number}`;
      if (button.name !== name) button.name = name;
    }
  }
};
